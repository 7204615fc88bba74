import { beforeEach, describe, expect, it } from 'vitest';
import { newControllerId, newHostId } from '../../core/ids.js';
import type { Alive } from '../cache/objects.js';
import { HeardOf } from './heard.js';
import type { HostStanding } from './standing.js';

const c2 = newControllerId();
const hostId = newHostId();

const alive = (revision: bigint, controllerId = c2): Alive => ({
  ...{ hostId, session: String(revision), controllerId, leaseId: '1', revision },
});
const viewOf = (key: Alive) => ({ alive: new Map([[hostId, key]]) });
const behind = (convergedRevision: bigint): HostStanding => ({
  ...{ hostId, session: 's', ackedRevision: convergedRevision, convergedRevision, problems: [] },
});

describe('what a controller said of its hosts', () => {
  let heard: HeardOf;
  beforeEach(() => {
    heard = new HeardOf();
  });

  it('is that whoever it does not name has what was asked about', () => {
    heard.take(c2, { revision: 9n, sessions: [] }, { asked: 7n, view: viewOf(alive(5n)) });
    expect(heard.convergedRevision(alive(5n))).toBe(7n);
    heard.take(c2, { revision: 10n, sessions: [behind(8n)] }, { asked: 9n, view: viewOf(alive(5n)) });
    expect([heard.convergedRevision(alive(5n)), heard.told(alive(5n))]).toEqual([8n, behind(8n)]);
  });

  it('says nothing of a host that came, or came anew, after it was said', () => {
    heard.take(c2, { revision: 9n, sessions: [] }, { asked: 7n, view: viewOf(alive(10n)) });
    expect([heard.convergedRevision(alive(10n)), heard.has(alive(10n))]).toEqual([0n, false]);
  });

  it('counts no longer when the host is alive by another stream, and never for the hosts of others', () => {
    heard.take(c2, { revision: 9n, sessions: [] }, { asked: 7n, view: viewOf(alive(5n)) });
    expect(heard.convergedRevision(alive(11n))).toBe(0n);
    const c3 = newControllerId();
    heard.take(c2, { revision: 12n, sessions: [] }, { asked: 12n, view: viewOf(alive(11n, c3)) });
    expect(heard.convergedRevision(alive(11n, c3))).toBe(0n);
  });

  it('is never taken back by an answer to an earlier question', () => {
    heard.take(c2, { revision: 9n, sessions: [] }, { asked: 8n, view: viewOf(alive(5n)) });
    heard.take(c2, { revision: 9n, sessions: [] }, { asked: 6n, view: viewOf(alive(5n)) });
    expect(heard.convergedRevision(alive(5n))).toBe(8n);
  });
});
