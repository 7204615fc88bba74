import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../core/address.js';
import { newHostId } from '../../core/ids.js';
import { PRESENT, type Host } from '../../core/model.js';
import { originOf, type LastFollowed, type Origin } from './origin.js';

const NEW = { clusterId: 'ours', epoch: 'now', formerEpochs: [], backup: undefined };
const RESTORED = {
  ...{ clusterId: 'ours', epoch: 'now', formerEpochs: ['replaced', 'backed-up', 'older'] },
  backup: { epoch: 'backed-up', revision: 7n },
};
const HOST: Host = {
  ...{ id: newHostId(), name: 'h1', vtep: parseIp('192.0.2.1') ?? ('' as IpAddress), number: 1, version: '1' },
  ...{ prefixes: [], declaredEpoch: 'backed-up', ...PRESENT, revision: 1n },
};

describe('where a host comes from', () => {
  it.each<[string, LastFollowed, Host | undefined, Origin, Origin]>([
    ['a new one', { clusterId: '', epoch: '' }, undefined, 'here', 'here'],
    ['one that never left', { clusterId: 'ours', epoch: 'now' }, HOST, 'here', 'here'],
    ['one of the backup', { clusterId: 'ours', epoch: 'backed-up' }, HOST, 'elsewhere', 'before'],
    ['one of after the backup', { clusterId: 'ours', epoch: 'backed-up' }, undefined, 'elsewhere', 'before'],
    ['one of what the backup replaced', { clusterId: 'theirs', epoch: 'replaced' }, undefined, 'elsewhere', 'before'],
    ['one of an epoch that is lost', { clusterId: 'ours', epoch: 'lost' }, undefined, 'elsewhere', 'before'],
    ['one of an older agent', { clusterId: '', epoch: 'lost' }, HOST, 'elsewhere', 'before'],
    ['one of an older agent, unknown', { clusterId: '', epoch: 'lost' }, undefined, 'elsewhere', 'elsewhere'],
    ['another cluster’s', { clusterId: 'theirs', epoch: 'other' }, undefined, 'elsewhere', 'elsewhere'],
    ['one that was away in another cluster', { clusterId: 'theirs', epoch: 'other' }, HOST, 'elsewhere', 'elsewhere'],
  ])('%s', (_, last, known, inNew, inRestored) => {
    expect([originOf(last, known, NEW), originOf(last, known, RESTORED)]).toEqual([inNew, inRestored]);
  });

  it('is never before, where nothing was ever restored', () => {
    const text = fc.constantFrom('', 'ours', 'theirs', 'now', 'backed-up');
    fc.assert(
      fc.property(text, text, fc.constantFrom(HOST, undefined), (clusterId, epoch, known) => {
        expect(originOf({ clusterId, epoch }, known, NEW)).not.toBe('before');
      }),
    );
  });
});
