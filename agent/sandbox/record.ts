/** What is recorded of a sandbox: what it should be, so that an interrupted change is carried on after a restart. */
import { z } from 'zod';
import { parseEndpointId, parseNetworkId, type EndpointId, type NetworkId } from '../../core/ids.js';
import { isName, NAME_RULE } from '../../core/name.js';

const idOf = <T>(parse: (text: string) => T | undefined) =>
  z.string().transform((text, context): T => {
    const id = parse(text);
    if (id !== undefined) return id;
    context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is no id` });
    return z.NEVER;
  });

const revision = z.string().regex(/^\d{1,19}$/);
const name = z.string().refine(isName, NAME_RULE);

const attachmentSchema = z.strictObject({
  endpointId: idOf<EndpointId>(parseEndpointId),
  /** As asked for: a network's name or id. */
  network: z.string(),
  ifname: z.string().regex(/^eth\d{1,4}$/),
  addresses: z.array(z.string()),
  mac: z.string(),
  aliases: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  /**
   * `wanted`: to be made, perhaps made already. `attached`: the cluster has it; should it vanish there, somebody else
   * removed it. `removing`: to be unmade.
   */
  state: z.enum(['wanted', 'attached', 'removing']),
  /** Known once it was made. */
  networkId: z.optional(idOf<NetworkId>(parseNetworkId)),
  /** The store's revision at which it was made, in decimal. */
  revision: z.optional(revision),
  /** Of the store, in which that revision counts. */
  epoch: z.optional(z.string()),
  /** The host's at that time. */
  incarnation: z.optional(z.int().min(0)),
  /** Why it cannot be made, when that was found out after its request was answered or lost. */
  problem: z.optional(z.string()),
  /** Why it has to be made anew: the cluster does not have any more what was there. */
  lost: z.optional(z.string()),
  requestId: z.string(),
});

const sandboxSchema = z.strictObject({
  version: z.literal(1),
  name,
  state: z.enum(['present', 'removing']),
  attachments: z.array(attachmentSchema),
});

export type AttachmentRecord = Readonly<z.output<typeof attachmentSchema>>;

/** A sandbox, with its attachments in the order in which they were asked for. */
export interface SandboxRecord {
  readonly name: string;
  readonly state: 'present' | 'removing';
  readonly attachments: readonly AttachmentRecord[];
}

/** The record as a file holds it. */
export function encodeRecord(record: SandboxRecord): string {
  return `${JSON.stringify({ version: 1, ...record }, undefined, 2)}\n`;
}

/** The record in a file's text. Throws Error with a plain sentence. */
export function decodeRecord(text: string): SandboxRecord {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Error('it is not JSON', { cause: error });
  }
  const result = sandboxSchema.safeParse(parsed);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new Error(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`, { cause: result.error });
  }
  const { version: _version, ...record } = result.data;
  return record;
}

/** The first of eth0, eth1, ... that no attachment has. */
export function nextIfname(attachments: readonly Pick<AttachmentRecord, 'ifname'>[]): string {
  const taken = new Set(attachments.map(({ ifname }) => ifname));
  let index = 0;
  while (taken.has(`eth${String(index)}`)) index++;
  return `eth${String(index)}`;
}
