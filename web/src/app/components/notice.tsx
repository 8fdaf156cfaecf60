import { dismiss, notice } from '../model/notice';
import { CloseIcon } from './icons';

/** What is to be told, wherever it came from. The live region stays, so that each change of it is announced. */
export function NoticeBar({ active }: { active: boolean }) {
  const told = active ? notice.value : null;
  const action = told?.action;
  return (
    <div class={`notice ${told === null ? 'empty' : told.tone}`}>
      <p role="status">{told?.text}</p>
      {action && (
        <button
          type="button"
          onClick={() => {
            dismiss();
            action.run();
          }}
        >
          {action.label}
        </button>
      )}
      {told && (
        <button type="button" class="plain" aria-label="Dismiss" onClick={dismiss}>
          <CloseIcon />
        </button>
      )}
    </div>
  );
}
