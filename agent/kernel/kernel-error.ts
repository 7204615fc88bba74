/** What the kernel refused, with its own words. */
import { errnoMessage, errnoName } from './errno.js';

/** A request the kernel refused. Match on `code`, never on the text. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  /** The error's name: `EEXIST`. */
  readonly code: string;

  /**
   * @param operation what was asked, as a command would say it: `link add vxlan0`
   * @param errno the error number, positive
   * @param kernelMessage the kernel's explanation (netlink extended acknowledgement), when it gave one
   */
  constructor(
    readonly operation: string,
    readonly errno: number,
    readonly kernelMessage?: string,
  ) {
    const code = errnoName(errno);
    super(`${operation}: ${kernelMessage ?? errnoMessage(errno)} (${code})`);
    this.code = code;
  }
}

/** The result of a system call as the kernel gives it: not negative, or the negated error number. Throws KernelError for the latter. */
export function checked(operation: string, result: number): number {
  if (result < 0) throw new KernelError(operation, -result);
  return result;
}

/** Node's error of a synchronous file operation as a KernelError; anything else unchanged. */
export function fromNodeError(operation: string, error: unknown): unknown {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number'
    ? new KernelError(operation, Math.abs(error.errno))
    : error;
}
