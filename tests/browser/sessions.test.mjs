// Who is signed in, and where: tokens that run out, sessions that are ended, accounts that go, and two windows of one person.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { connect, each, eventually, PASSWORD, Stage, test } from './stage.mjs';

const NEW_PASSWORD = 'battery staple horse';

let stage;
before(async () => { stage = await Stage.open(); });
after(() => stage?.close());

test('a call outlives the access token it began with', async (t) => {
  const brief = await Stage.during(t, { ACCESS_TOKEN_TTL: '4s' });
  const [alice, bob] = await brief.people(t, 'alice', 'bob');
  const first = await each([alice, bob], (tab) => tab.token());
  await connect(alice, bob);
  for (const [i, tab] of [alice, bob].entries()) {
    // Twice renewed: by then the first has run out, leeway included.
    const second = await tab.tokenAfter(first[i]);
    const third = await tab.tokenAfter(second);
    await eventually(`${tab.name}'s first token to be refused`, async () => {
      const { status } = await brief.server.http('/api/me', { token: first[i] });
      return status === 401 || undefined;
    }, 30_000);
    assert.notEqual(await tab.tokenAfter(third), first[i]);
  }
  await each([alice, bob], (tab) => tab.picturesMove());
  // The sockets are joined under the new tokens.
  await alice.press('Mute');
  await bob.sees(/Muted/);
  await bob.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
  await brief.remembers([alice, /Outgoing/], [bob, /Incoming/], 'video completed hangup');
});

test('a password changed elsewhere ends the session here, and the call on both sides', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  alice.tolerate(/status of 401/);
  await connect(alice, bob, 'Audio');
  const laptop = await stage.visitor(t);
  laptop.name = alice.name;
  await laptop.logIn();
  await laptop.isInLobby();
  await Promise.all([
    laptop.changesPassword(PASSWORD, NEW_PASSWORD),
    laptop.sees('Your password was changed.'),
    alice.sees('Your session was ended. Please sign in again.'),
    bob.sees('The call ended because a session was ended.'),
  ]);
  await alice.isSignedOut();
  await each([alice, bob], (tab) => tab.isInNoCall());
  await eventually('the row', async () => {
    const [row] = await stage.rows(alice, bob);
    return (row.status === 'completed' && row.end_reason === 'session_revoked') || undefined;
  });

  await alice.logIn();
  await alice.sees('That name and password do not match.');
  await alice.logIn(NEW_PASSWORD);
  await alice.isInLobby();
});

test('a wrong current password changes nothing', async (t) => {
  const [alice] = await stage.people(t, 'alice');
  alice.tolerate(/status of 403/);
  await alice.changesPassword('not the password', NEW_PASSWORD);
  await alice.sees('That is not your current password.');
});

test('who logs out is out in every tab, and gone from the list of the others', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  const other = await alice.another();
  await other.isInLobby();
  // So the other tab learns of it.
  alice.tolerate(/status of 401/);
  await bob.button(`Video call to ${alice.name}`).waitFor();
  await alice.press('Account');
  await alice.press('Log out');
  await alice.isSignedOut();
  await alice.sees('You are signed out.');
  await other.isSignedOut();
  // By the tab beside it or by the server, whichever is heard first.
  await other.sees(/You signed out in another tab\.|Your session was ended\./);
  await bob.button(`Video call to ${alice.name}`).waitFor({ state: 'hidden' });
  await alice.page.reload();
  await alice.isSignedOut();
  await alice.logIn();
  await alice.isInLobby();
  await other.isInLobby();
});

test('who logs out is told just that, also when the socket is cut before the answer comes', async (t) => {
  const [alice] = await stage.people(t, 'alice');
  alice.tolerate(/status of 401/);
  const asked = alice.page.waitForResponse('**/api/me');
  await alice.page.route('**/api/logout', async (route) => {
    const response = await route.fetch();
    await asked;
    await route.fulfill({ response });
  });
  await alice.press('Account');
  await alice.press('Log out');
  await alice.isSignedOut();
  await alice.sees('You are signed out.');
});

test('logging out in a call ends it', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  alice.tolerate(/status of 401/);
  // The account is out of reach under the call; another tab of the same session is not.
  const other = await alice.another();
  await other.isInLobby();
  await other.press('Account');
  await other.press('Log out');
  await alice.isSignedOut();
  await each([alice, bob], (tab) => tab.isInNoCall());
});

test('a deleted account is gone, and its calls stay without its name', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob, 'Audio');
  await alice.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([alice, /Outgoing/], [bob, /Incoming/], 'audio completed hangup');
  alice.tolerate(/status of 40[13]/);

  await alice.deletesAccount('not the password');
  await alice.sees('That is not your current password.');
  await alice.press('Close');
  await alice.deletesAccount(PASSWORD);
  await alice.isSignedOut();
  await alice.sees('Your account was deleted.');
  await alice.logIn();
  await alice.sees('That name and password do not match.');

  await bob.page.reload();
  await bob.isInLobby();
  await bob.recentlyHad({ name: 'Deleted account' }, /Incoming, 00:\d\d/);
});

test('a call whose window was closed is continued in a new one', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  await alice.page.close();
  await bob.sees('Reconnecting…');
  const window = await alice.another();
  await window.press('Continue here');
  await each([window, bob], (tab) => tab.isInCall());
  // Nobody is seen by a window that was not told to show them.
  await bob.getsNoPicture();
  await window.press('Camera on');
  await Promise.all([window.picturesMove(), bob.picturesMove(), bob.soundArrives()]);
  await bob.press('Hang up');
  await each([window, bob], (tab) => tab.isInNoCall());
  assert.equal((await stage.rows(alice, bob)).length, 1);
});

test('a duplicated window takes the call over, and the first says so', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  const copy = await alice.duplicate();
  await alice.sees('The call continues in another window.');
  await alice.isInNoCall();
  await each([copy, bob], (tab) => tab.isInCall());
  await Promise.all([copy.picturesMove(), bob.picturesMove(), bob.soundArrives()]);
  await copy.press('Hang up');
  await each([copy, bob], (tab) => tab.isInNoCall());
  assert.equal((await stage.rows(alice, bob)).length, 1);
});

test('a name that is taken is told', async (t) => {
  const [alice] = await stage.people(t, 'alice');
  const eve = await stage.visitor(t);
  eve.tolerate(/status of 409/);
  await eve.triesToSignUp(alice.name);
  await eve.sees('That name is taken. Please choose another.');
});
