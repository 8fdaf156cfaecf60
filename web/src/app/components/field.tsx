import { useSignal } from '@preact/signals';
import { useId } from 'preact/hooks';
import { EyeIcon, EyeOffIcon } from './icons';

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly autocomplete: 'username' | 'current-password' | 'new-password';
  readonly secret?: boolean;
  readonly autofocus?: boolean;
  readonly maxLength?: number | undefined;
  /** The rule, said before it is broken. */
  readonly hint?: string | undefined;
  readonly problem?: string | undefined;
}

/** A labelled input; what is wrong with it is said beneath it. A password can be shown. */
export function Field({ label, hint, problem, secret = false, ...input }: FieldProps) {
  const id = useId();
  const shown = useSignal(false);
  const noted = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(' ');
  const attributes = {
    ...input,
    id,
    required: true,
    autocapitalize: 'none' as const,
    spellcheck: false,
    'aria-invalid': problem !== undefined,
    ...(noted ? { 'aria-describedby': noted } : {}),
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class="input">
        {secret && !shown.value ? <input {...attributes} type="password" /> : <input {...attributes} />}
        {secret && (
          <button
            type="button"
            class="plain"
            aria-label={shown.value ? 'Hide password' : 'Show password'}
            onClick={() => {
              shown.value = !shown.value;
            }}
          >
            {shown.value ? <EyeOffIcon /> : <EyeIcon />}
          </button>
        )}
      </div>
      {hint && (
        <small id={`${id}-hint`} class="quiet">
          {hint}
        </small>
      )}
      {problem && (
        <small id={`${id}-problem`} class="problem">
          {problem}
        </small>
      )}
    </div>
  );
}
