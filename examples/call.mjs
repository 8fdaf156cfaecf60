// A call between two accounts, step by step, with the official client. A browser has real SDP and candidates here.
import { io } from 'socket.io-client';

const url = process.env.SERVER_URL ?? 'http://localhost:3001';
const sdp = (type) => ({ type, sdp: 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n' });
const candidate = { candidate: 'candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host', sdpMid: '0', sdpMLineIndex: 0 };
const next = (user, event) => new Promise((done) => user.socket.once(event, done));
const post = async (path, body) => (await fetch(url + path, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
})).json();

async function ask(user, event, payload) {
  const reply = await user.socket.timeout(10_000).emitWithAck(event, payload);
  if (!reply.ok) throw new Error(`${user.username}: ${event}: ${reply.error}`);
  return reply;
}

async function enter(username) {
  const account = { username, password: `the password of ${username}` };
  let session = await post('/api/register', account);
  if (session.code === 'username_taken') session = await post('/api/login', account);
  if (!session.token) throw new Error(`${username}: ${session.error}`);
  const user = { ...session.user, socket: io(url, { auth: { token: session.token } }) };
  user.socket.on('connect_error', (refusal) => console.error(`${username}: ${refusal.message}`));
  await ask(user, 'join', session.user);
  console.log(`${username} is online`);
  return user;
}

setTimeout(() => { throw new Error('nothing happens any more'); }, 30_000).unref();
const [alice, bob] = [await enter('alice'), await enter('bob')];

const [ringing, accepted] = [next(bob, 'incoming_call'), next(alice, 'call_accepted')];
const { callId, status } = await ask(alice, 'call_user', { to: bob.id, callType: 'video', offer: sdp('offer') });
console.log(`alice calls bob: ${status}, call ${callId}`);
console.log(`bob's device rings: ${(await ringing).callType} call from ${(await ringing).from.username}`);

await ask(bob, 'accept_call', { callId, answer: sdp('answer') });
console.log(`alice hears that bob has accepted: an ${(await accepted).answer.type}`);

const [atBob, ended] = [next(bob, 'ice_candidate'), next(bob, 'call_ended')];
await ask(alice, 'ice_candidate', { to: bob.id, callId, candidate });
console.log(`bob gets a candidate: ${(await atBob).candidate.candidate}`);

await ask(alice, 'end_call', { callId });
console.log(`alice hangs up; bob hears: ${(await ended).reason}`);
for (const { socket } of [alice, bob]) socket.disconnect();
