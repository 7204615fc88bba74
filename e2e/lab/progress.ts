/** Telling how far something is, while it goes on. */

/** A step that begins, or one that is done and how long it took. */
export type Progress =
  | { readonly step: string; readonly state: 'begun' }
  | { readonly step: string; readonly state: 'done'; readonly ms: number };

export type OnProgress = (progress: Progress) => void;

/** Runs `work` as a step with this name. A step that fails is never told as done. */
export async function step<T>(onProgress: OnProgress | undefined, name: string, work: () => Promise<T>): Promise<T> {
  onProgress?.({ step: name, state: 'begun' });
  const begun = performance.now();
  const result = await work();
  onProgress?.({ step: name, state: 'done', ms: performance.now() - begun });
  return result;
}
