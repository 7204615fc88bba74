/** PeerService: see proto/weft/v1/peer.proto. */
import type { PeerServiceServer, SessionsRequest, SessionsResponse } from '../../proto/gen/weft/v1/peer.js';
import type { Cache } from '../cache/cache.js';
import type { Convergence } from '../fanout/convergence.js';
import { viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface PeerServiceOptions {
  readonly cache: Cache;
  readonly convergence: Convergence;
}

/** Milliseconds that a question may ask to wait. */
const PATIENCE_MAX_MS = 10_000;

export function peerService(serve: Serve, { cache, convergence }: PeerServiceOptions): PeerServiceServer {
  return {
    sessions: serve.unary<SessionsRequest, SessionsResponse>('PeerService/Sessions', async (request, { signal }) => {
      const check = new Checker();
      const revision = check.revision('revision', request.revision);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const { laggingOnly } = request;
      const patienceMs = Math.min(request.patienceMs, PATIENCE_MAX_MS);
      await viewAt(cache, minRevision > revision ? minRevision : revision, signal);
      const answer = await convergence.answer({ revision, minRevision, patienceMs, laggingOnly }, signal);
      const sessions = answer.sessions.map(({ problems, ...rest }) => ({ ...rest, problems: [...problems] }));
      return { revision: answer.revision, sessions, controllerId: convergence.self };
    }),
  };
}
