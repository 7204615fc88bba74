import { describe, expect, it } from 'vitest';
import { DIGEST_FORMAT } from '../../core/digest.js';
import { WeftError } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { Hello, type NetworkDigest } from '../../proto/gen/weft/v1/agent_sync.js';
import { readResume } from './read-hello.js';

const META = { clusterId: 'c', epoch: 'e' };
const ID = newNetworkId();
const digest = (fields: Partial<NetworkDigest> = {}): NetworkDigest => ({
  ...{ networkId: ID, revision: 3n, digests: Buffer.alloc(16, 1) },
  ...fields,
});
const hello = (
  networks: readonly NetworkDigest[],
  { format = DIGEST_FORMAT, ...fields }: { format?: number } & Partial<Hello> = {},
) => Hello.fromPartial({ ...META, ...fields, resume: { format, networks: [...networks] } });

describe('what a host says it has', () => {
  it('is believed of this epoch of this cluster, in this format, and else is nothing', () => {
    expect(readResume(hello([digest()]), META)).toEqual(
      new Map([[ID, { revision: 3n, digests: Buffer.alloc(16, 1) }]]),
    );
    expect(readResume(hello([]), META)).toEqual(new Map());
    expect(readResume(Hello.fromPartial(META), META)).toBeUndefined();
    expect(readResume(hello([digest()], { epoch: 'before' }), META)).toBeUndefined();
    expect(readResume(hello([digest()], { epoch: '' }), META)).toBeUndefined();
    expect(readResume(hello([digest()], { clusterId: 'other' }), META)).toBeUndefined();
    expect(readResume(hello([digest()], { format: DIGEST_FORMAT + 1 }), META)).toBeUndefined();
  });

  it.each<[string, readonly NetworkDigest[], string]>([
    ['no id', [digest({ networkId: 'x' })], 'hello.resume.networks[0].network_id'],
    ['one network twice', [digest(), digest()], 'hello.resume.networks[1].network_id'],
    ['no digest', [digest({ digests: Buffer.alloc(0) })], 'hello.resume.networks[0].digests'],
    ['half a digest', [digest({ digests: Buffer.alloc(4) })], 'hello.resume.networks[0].digests'],
    ['three buckets', [digest({ digests: Buffer.alloc(24) })], 'hello.resume.networks[0].digests'],
    ['too many buckets', [digest({ digests: Buffer.alloc(8 * 131_072) })], 'hello.resume.networks'],
    [
      'too many networks',
      Array.from({ length: 8_193 }, () => digest({ networkId: newNetworkId() })),
      'hello.resume.networks',
    ],
  ])('is refused with %s', (_, networks, field) => {
    const refused = (): unknown => readResume(hello(networks), META);
    expect(refused).toThrow(WeftError);
    try {
      refused();
    } catch (error) {
      expect((error as WeftError).violations.map((each) => each.field)).toEqual([field]);
    }
  });
});
