/** Listening where a person has said to. */
import { WeftError } from '../errors.js';

/** What `work` comes to, which listens at this place. Rejects with WeftError ARGUMENT_INVALID that names the place. */
export async function binding<T>(
  { host, port }: { readonly host: string; readonly port: number },
  work: Promise<T>,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `cannot listen on ${host} port ${String(port)}: ${why}`;
    throw new WeftError({ reason: 'ARGUMENT_INVALID', message }, { cause: error });
  }
}
