/** What can go wrong with a lab, for whoever shows it to a person. */

/** `state`: what is asked for cannot be done to what is in this state. */
export type LabErrorKind = 'invalid' | 'exists' | 'not-found' | 'state' | 'timed-out' | 'failed';

/** `kind` is for programs (the CLI's exit status); the message says what to do. */
export class LabError extends Error {
  override readonly name = 'LabError';

  constructor(
    readonly kind: LabErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
