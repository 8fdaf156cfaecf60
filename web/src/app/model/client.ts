import { signal } from '@preact/signals';
import {
  type ActiveCall,
  browserPlatform,
  type ConnectionState,
  createClient,
  type ErrorCode,
  type Party,
} from '../../client';
import { attempt, dismiss, tell } from './notice';
import { signedOutWords } from './words';

const serverUrl: string =
  import.meta.env['VITE_SERVER_URL'] ?? (import.meta.env.DEV ? 'http://localhost:3001' : location.origin);

export const client = createClient({ serverUrl, platform: browserPlatform() });

export const user = signal<Party | null>(client.session.user);
export const online = signal<ReadonlyMap<string, Party>>(new Map());
export const connection = signal<ConnectionState>(client.connection.state);
/** Why the last attempt to connect failed, until one succeeds. */
export const trouble = signal<ErrorCode | null>(null);
/** A call of this session whose page is gone, or has lost the server: it can go on here. */
export const elsewhere = signal<ActiveCall | null>(null);

client.session.on('signedIn', (party) => {
  user.value = party;
  dismiss();
});
client.session.on('signedOut', (reason) => {
  user.value = null;
  elsewhere.value = null;
  const asked = reason === 'logout' || reason === 'account_deleted';
  tell({ text: signedOutWords(reason), tone: asked ? 'news' : 'problem' });
});
client.connection.on('state', (state) => {
  connection.value = state;
  if (state === 'online' || state === 'stopped') trouble.value = null;
});
client.connection.on('trouble', (code) => {
  trouble.value = code;
});
client.presence.on('change', (users) => {
  online.value = users;
});
client.calls.on('elsewhere', (active) => {
  elsewhere.value = active;
});
client.connection.on('join_success', ({ activeCall }) => {
  // It ended while this page was away.
  if (activeCall === undefined) elsewhere.value = null;
});
client.connection.on('call_ended', ({ callId }) => {
  if (elsewhere.value?.callId === callId) elsewhere.value = null;
});

export function continueHere(active: ActiveCall): void {
  void attempt(() => client.calls.takeOver(active));
}

export function endElsewhere(active: ActiveCall): void {
  void attempt(async () => {
    await client.calls.endElsewhere(active);
    elsewhere.value = null;
  });
}
