/** A process of simulated agents, which does what its parent orders and ends when its parent does. See fleet-process.ts. */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { asError } from '../../core/errors.js';
import { Fleet } from './fleet.js';
import type { Answer, Launch, Order } from './orders.js';

/** Returns the exit status. */
export async function main(): Promise<number> {
  if (process.send === undefined) {
    process.stderr.write('simulated agents are started by a benchmark or a test\n');
    return 2;
  }
  setLogVerbosity(logVerbosity.NONE);
  // The terminal sends Ctrl-C to everybody; it is the parent that ends us.
  process.on('SIGINT', () => undefined);
  await using fleet = new Fleet();
  const carryOut = async (order: Order): Promise<void> => {
    const answer = await answerTo(fleet, order);
    if (process.connected) process.send?.(answer);
  };
  const underway = new Set<Promise<void>>();
  process.on('message', (order: Order) => {
    const work = carryOut(order).finally(() => underway.delete(work));
    underway.add(work);
  });
  await new Promise<void>((resolve) => process.once('disconnect', resolve));
  return 0;
}

async function answerTo(fleet: Fleet, { id, name, ask }: Order): Promise<Answer> {
  try {
    switch (name) {
      case 'launch':
        await fleet.launch(ask as Launch);
        return { id };
      case 'standing':
        return { id, answer: fleet.standing(ask as bigint) };
      case 'received':
        return { id, answer: fleet.received() };
      case 'record':
        fleet.record();
        return { id };
      case 'recorded':
        return { id, answer: fleet.recorded() };
      case 'summaries':
        return { id, answer: fleet.summaries() };
    }
  } catch (error) {
    return { id, error: asError(error).message };
  }
}
