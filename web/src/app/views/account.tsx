import { useRef } from 'preact/hooks';
import { Avatar } from '../components/avatar';
import { Field } from '../components/field';
import { useForm } from '../components/form';
import { CloseIcon, LeaveIcon, PersonIcon } from '../components/icons';
import { client, user } from '../model/client';
import { attempt, tell } from '../model/notice';

/** The native dialog brings the focus trap, Escape, and the return of the focus. */
export function Account() {
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => dialog.current?.close();
  const name = user.value?.username ?? '';
  return (
    <>
      <button type="button" class="account" onClick={() => dialog.current?.showModal()}>
        <PersonIcon />
        Account
      </button>
      <dialog ref={dialog} class="card" aria-labelledby="account">
        <header>
          <Avatar name={name} />
          <h2 id="account" class="grow">
            {name}
          </h2>
          <button type="button" class="plain" aria-label="Close" onClick={close}>
            <CloseIcon />
          </button>
        </header>
        <ChangePassword done={close} />
        <DeleteAccount />
        <button type="button" onClick={() => attempt(() => client.session.logout())}>
          <LeaveIcon />
          Log out
        </button>
      </dialog>
    </>
  );
}

function ChangePassword({ done }: { done: () => void }) {
  const form = useForm(
    async (data) => {
      await client.session.changePassword(
        String(data.get('currentPassword')),
        String(data.get('newPassword')),
      );
      done();
      tell({ text: 'Your password was changed. Your other devices are signed out.', tone: 'news' });
    },
    { wrong_password: 'currentPassword' },
  );
  return (
    <form aria-busy={form.busy} {...form.bind}>
      <Field
        label="Current password"
        name="currentPassword"
        secret
        autocomplete="current-password"
        problem={form.problems.value['currentPassword']}
      />
      <Field
        label="New password"
        name="newPassword"
        secret
        maxLength={128}
        autocomplete="new-password"
        hint="At least 8 characters."
        problem={form.problems.value['newPassword']}
      />
      <p class="problem" role="alert">
        {form.problem.value}
      </p>
      <button type="submit" disabled={form.busy.value}>
        Change password
      </button>
    </form>
  );
}

function DeleteAccount() {
  const form = useForm((data) => client.session.deleteAccount(String(data.get('password'))), {
    wrong_password: 'password',
  });
  return (
    <form class="last-step" aria-busy={form.busy} {...form.bind}>
      <p class="quiet">
        Deleting the account cannot be undone. Your name goes from the history of others, too.
      </p>
      <Field
        label="Password, to delete the account"
        name="password"
        secret
        autocomplete="current-password"
        problem={form.problems.value['password']}
      />
      <p class="problem" role="alert">
        {form.problem.value}
      </p>
      <button class="danger" type="submit" disabled={form.busy.value}>
        Delete account
      </button>
    </form>
  );
}
