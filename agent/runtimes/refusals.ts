/** What requests are refused with, in one wording. */
import { WeftError } from '../../core/errors.js';

/** No such sandbox. */
export function notFound(name: string): WeftError {
  return new WeftError({ reason: 'SANDBOX_NOT_FOUND', message: `there is no sandbox ${name} on this host` });
}

/** It is there already. */
export function alreadyConnected(name: string, network: string): WeftError {
  return new WeftError({
    reason: 'ALREADY_CONNECTED',
    message: `sandbox ${name} is connected to network ${network} already`,
  });
}
