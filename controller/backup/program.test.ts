import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newEndpointId, newHostId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { readBackup, writeBackup } from '../../proto/backup-file.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import type { BackupEntry, BackupHeader } from '../../proto/gen/weft/v1/stored.js';
import { ControllerPrograms, connect, endProgram, type StartedController } from '../program.testing.js';
import { guardKey } from '../store/keys.js';

let directory: string;
const programs = new ControllerPrograms();
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-restore-'));
});
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while (!holds()) if (!(await pause(2, deadline))) throw new Error(`it never came to that: ${String(holds)}`);
}

const ready = ({ lines }: StartedController) => lines().filter(({ msg }) => msg === 'ready');

/** As many further guards as make a restore take its time. */
async function enlarged(file: Buffer, count: number): Promise<Buffer> {
  let header: BackupHeader | undefined;
  const entries: BackupEntry[] = [];
  for await (const record of readBackup([file])) {
    if (record.kind === 'header') ({ header } = record);
    else entries.push(record.entry);
  }
  if (header === undefined) throw new Error('no header');
  for (let index = 0; index < count; index += 1) {
    const key = guardKey.vni(1_000_000 + index);
    entries.push({ key, value: Buffer.from('nobody'), createRevision: 1n, modRevision: 1n });
  }
  entries.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  const parts: Buffer[] = [];
  for await (const part of writeBackup(header, entries)) parts.push(part);
  return Buffer.concat(parts);
}

describe('weft-controller, as a process', () => {
  it('brings a cluster back on a new machine, killed in the middle and begun again', async () => {
    const [here, there] = [join(directory, 'here'), join(directory, 'there')];
    const first = await programs.start(here);
    const out = join(directory, 'h1');
    const issued = programs.run('issue', '--role', 'host', '--name', 'h1', '--out', out, '--data-dir', here);
    expect(await issued.ended).toBe(0);
    const hostId = newHostId();
    let file: Buffer;
    let epoch: string;
    {
      using admin = await connect(first.port, join(here, 'admin'));
      using host = await connect(first.port, out);
      const agent = host.agent({ hostId });
      await agent.inSync();
      const create = admin.networks.create.bind(admin.networks);
      const web = await admin.call(create, CreateNetworkRequest.fromPartial({ name: 'web', ipv6: true }));
      expect(web.network?.subnets).toHaveLength(2);
      file = await admin.backup();
      ({ epoch } = await admin.call(admin.cluster.getStatus.bind(admin.cluster), {}));
      agent.close();
    }
    await endProgram(first.child, 'SIGTERM');

    // The CA goes with the cluster: its hosts believe no other.
    await cp(join(here, 'ca'), join(there, 'ca'), { recursive: true });
    const second = await programs.start(there);
    expect(second.clusterId).not.toBe(first.clusterId);
    const large = await enlarged(file, 30_000);
    {
      using admin = await connect(second.port, join(there, 'admin'));
      await expect(admin.restore(large.subarray(0, large.length - 1))).rejects.toMatchObject({
        reason: 'BACKUP_INVALID',
      });
      const cut = admin.restore(large);
      cut.catch(() => undefined);
      await until(() => ready(second).some((line) => line['restoring'] === true));
      await endProgram(second.child, 'SIGKILL');
      await expect(cut).rejects.toBeDefined();
    }

    const third = await programs.start(there);
    expect(ready(third)).toMatchObject([{ restoring: true, clusterId: first.clusterId }]);
    using admin = await connect(third.port, join(there, 'admin'));
    const status = () => admin.call(admin.cluster.getStatus.bind(admin.cluster), {});
    expect((await status()).warnings[0]?.reason).toBe('RESTORE_UNFINISHED');
    const restored = await admin.restore(large);
    expect(restored).toMatchObject({ networks: 1, hosts: 1, endpoints: 0 });
    await until(() => ready(third).at(-1)?.['restoring'] === false);
    expect(ready(third).at(-1)).toMatchObject({ epoch: restored.epoch, port: third.port });

    const wish = CreateEndpointRequest.fromPartial({ id: newEndpointId(), network: 'web', host: 'h1', sandbox: 'box' });
    const create = () => admin.call(admin.endpoints.create.bind(admin.endpoints), wish);
    await expect(create()).rejects.toThrow(/awaited: h1$/);
    using host = await connect(third.port, out);
    const agent = host.agent({ hostId, epoch });
    await agent.declare({});
    await agent.inSync();
    const { endpoint } = await create();
    expect(endpoint?.addresses).toHaveLength(2);
    // The default pool of IPv6 follows the cluster's id.
    const { network } = await admin.call(
      admin.networks.create.bind(admin.networks),
      CreateNetworkRequest.fromPartial({ name: 'next', ipv6: true }),
    );
    const web = await admin.call(admin.networks.get.bind(admin.networks), { network: 'web', minRevision: 0n });
    const prefix = (cidr: string | undefined) => cidr?.split(':').slice(0, 3).join(':');
    expect(prefix(network?.subnets[1]?.cidr)).toBe(prefix(web.network?.subnets[1]?.cidr));
    agent.close();
    // Nothing of the file is left behind.
    expect((await readdir(there)).filter((name) => name.includes('restore'))).toEqual([]);
    expect(await endProgram(third.child, 'SIGTERM')).toBe(0);
  }, 90_000);
});
