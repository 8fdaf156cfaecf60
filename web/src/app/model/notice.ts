import { signal } from '@preact/signals';
import { toCallError } from '../../client';
import { errorWords } from './words';

export interface Notice {
  readonly text: string;
  /** A problem stays until it is dismissed; news go by themselves. */
  readonly tone: 'news' | 'problem';
  /** What the person can do about it, in one click. */
  readonly action?: { readonly label: string; readonly run: () => void } | undefined;
}

const NEWS_MS = 10_000;

export const notice = signal<Notice | null>(null);
let timer = 0;

export function tell(told: Notice): void {
  clearTimeout(timer);
  notice.value = told;
  if (told.tone === 'news') timer = window.setTimeout(dismiss, NEWS_MS);
}

export function dismiss(): void {
  clearTimeout(timer);
  notice.value = null;
}

export function tellError(error: unknown): void {
  const { code, retryAfterMs } = toCallError(error);
  tell({ text: errorWords(code, retryAfterMs), tone: 'problem' });
}

/** Runs an action of the user; a failure is told in words. */
export async function attempt(action: () => unknown): Promise<void> {
  try {
    dismiss();
    await action();
  } catch (error) {
    tellError(error);
  }
}
