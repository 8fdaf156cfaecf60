import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { type CallError, toCallError } from '../../client';
import { errorWords, fieldProblems } from '../model/words';

/** Where a code that the server gives without `details` belongs: field names by code. */
type FieldOfCode = Partial<Record<CallError['code'], string>>;

/** The life of a form: one request at a time, and its failure told at the fields or beneath the form. */
export function useForm(action: (form: FormData) => Promise<unknown>, fieldOfCode: FieldOfCode = {}) {
  const busy = useSignal(false);
  const problem = useSignal('');
  const problems = useSignal<Readonly<Record<string, string>>>({});
  const element = useRef<HTMLFormElement>(null);

  const clear = () => {
    problem.value = '';
    problems.value = {};
  };
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (busy.value || element.current === null) return;
    busy.value = true;
    clear();
    try {
      await action(new FormData(element.current));
      element.current?.reset();
    } catch (error) {
      const failure = toCallError(error);
      const field = fieldOfCode[failure.code];
      problems.value =
        field === undefined ? fieldProblems(failure.details) : { [field]: errorWords(failure.code) };
      // Also when the details are of no field that is shown here.
      if (!element.current?.elements.namedItem(Object.keys(problems.value)[0] ?? ''))
        problem.value = errorWords(failure.code, failure.retryAfterMs);
    } finally {
      busy.value = false;
    }
    focusFirst(element.current, problems.value);
  };
  return { busy, problem, problems, clear, bind: { ref: element, onSubmit } };
}

function focusFirst(form: HTMLFormElement | null, problems: Readonly<Record<string, string>>): void {
  const wrong = Array.from(form?.elements ?? []).find(
    (element): element is HTMLInputElement => element instanceof HTMLInputElement && element.name in problems,
  );
  wrong?.focus();
}
