import { useSignal } from '@preact/signals';
import { Brand } from '../components/brand';
import { Field } from '../components/field';
import { useForm } from '../components/form';
import { client } from '../model/client';
import { dismiss } from '../model/notice';

export function SignIn() {
  const isNew = useSignal(false);
  const form = useForm(
    async (data) => {
      dismiss();
      const name = String(data.get('username'));
      const password = String(data.get('password'));
      await (isNew.value ? client.session.signUp(name, password) : client.session.login(name, password));
    },
    { username_taken: 'username' },
  );
  const rule = (words: string) => (isNew.value ? words : undefined);

  return (
    <main class="sign-in">
      <form class="card" aria-busy={form.busy} {...form.bind}>
        <header>
          <Brand />
          <h1>{isNew.value ? 'Create your account' : 'Welcome back'}</h1>
          <p class="quiet">Video and audio calls, one to one.</p>
        </header>
        <Field
          label="Name"
          name="username"
          autocomplete="username"
          autofocus
          maxLength={32}
          hint={rule('3 to 32 letters, digits, dots, dashes or underscores. Others find you by it.')}
          problem={form.problems.value['username']}
        />
        <Field
          label="Password"
          name="password"
          secret
          maxLength={128}
          autocomplete={isNew.value ? 'new-password' : 'current-password'}
          hint={rule('At least 8 characters.')}
          problem={form.problems.value['password']}
        />
        <p class="problem" role="alert">
          {form.problem.value}
        </p>
        <button class="primary" type="submit" disabled={form.busy.value}>
          {isNew.value ? 'Sign up' : 'Log in'}
        </button>
        <button
          class="link"
          type="button"
          onClick={() => {
            isNew.value = !isNew.value;
            form.clear();
          }}
        >
          {isNew.value ? 'I have an account' : 'Create an account'}
        </button>
      </form>
    </main>
  );
}
