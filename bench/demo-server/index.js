'use strict';

// The demo server, as its README describes it: any password, everything in memory, the whole list of online users to
// everybody whenever somebody comes or goes. Written to be measured beside, so it does nothing that the README does not say,
// but for three switches of the environment:
//   LOG=off            no console logs: a terminal is not what is measured
//   PING_INTERVAL      milliseconds; Socket.IO's own default is 25000
//   BROADCAST_FROM=n   lists stay empty and unsent while fewer than n are online, so that a crowd can come in at all:
//                      with lists, the bytes grow with the cube of its size

const http = require('node:http');
const cors = require('cors');
const express = require('express');
const socketIo = require('socket.io');
const { v4: uuid } = require('uuid');

const { PORT = 3001, HOST, LOG, PING_INTERVAL, BROADCAST_FROM = 0 } = process.env;
const log = LOG === 'off' ? () => {} : console.log;

const users = new Map(); // all users, by id
const activeUsers = new Map(); // those online, by id
const calls = new Map(); // live calls, by id

const app = express();
app.use(cors());
app.use(express.json());

const server = http.createServer(app);
const io = socketIo(server, {
  cors: { origin: 'http://localhost:5173', methods: ['GET', 'POST'] },
  ...(PING_INTERVAL && { pingInterval: Number(PING_INTERVAL) }),
});

const onlineUsers = () =>
  Array.from(activeUsers.values(), ({ id, username, socketId }) => ({ id, username, isOnline: true, socketId }));
const isAnnounced = () => activeUsers.size >= Number(BROADCAST_FROM);

// --- REST ---------------------------------------------------------------------------------------------------------------

app.post('/api/login', (req, res) => {
  const { username, password } = req.body;
  if (!username || !password) {
    return res.status(400).json({ error: 'Username and password required' });
  }
  let user = Array.from(users.values()).find((other) => other.username === username);
  if (!user) {
    user = { id: uuid(), username, isOnline: false };
    users.set(user.id, user);
  }
  log(`👥 ${username} logs in`);
  res.json({ user: { id: user.id, username, isOnline: user.isOnline }, token: uuid() });
});

app.get('/api/users', (_req, res) => {
  res.json(Array.from(users.values(), ({ id, username, isOnline }) => ({ id, username, isOnline })));
});

app.get('/api/online-users', (_req, res) => {
  res.json(onlineUsers());
});

app.get('/health', (_req, res) => {
  res.json({
    status: 'OK',
    timestamp: new Date().toISOString(),
    uptime: process.uptime(),
    memory: process.memoryUsage(),
    activeUsers: activeUsers.size,
    activeCalls: calls.size,
  });
});

// --- Socket.IO ----------------------------------------------------------------------------------------------------------

const tell = (userId, event, payload) => {
  const user = activeUsers.get(userId);
  if (user) {
    io.to(user.socketId).emit(event, payload);
  }
};
const announce = () => {
  if (isAnnounced()) {
    io.emit('users_updated', onlineUsers());
  }
};
const otherParty = (call, userId) => (call.from.id === userId ? call.to.id : call.from.id);

io.on('connection', (socket) => {
  log(`🔌 ${socket.id} connects`);
  let me = null;

  socket.on('join', ({ id, username }) => {
    me = { id, username, isOnline: true, socketId: socket.id, lastSeen: new Date().toISOString() };
    users.set(id, me);
    activeUsers.set(id, me);
    log(`👥 ${username} joins`);
    socket.emit('join_success', {
      message: 'Successfully connected to the server',
      onlineUsers: isAnnounced() ? onlineUsers() : [],
    });
    announce();
  });

  socket.on('call_user', ({ to, from, callType, offer }) => {
    const callId = uuid();
    const callee = activeUsers.get(to);
    if (!callee) {
      log(`📞 ${to} is offline`);
      socket.emit('call_status', { status: 'user_offline', callId });
      return;
    }
    const party = { id: callee.id, username: callee.username };
    calls.set(callId, { id: callId, from, to: party, callType, status: 'ringing', startTime: Date.now() });
    log(`📞 ${from.username} calls ${callee.username}`);
    tell(to, 'incoming_call', { callId, from, callType, offer });
    socket.emit('call_status', { status: 'ringing', callId });
  });

  socket.on('accept_call', ({ callId, answer }) => {
    const call = calls.get(callId);
    if (call) {
      call.status = 'active';
      log(`📞 ${callId} is accepted`);
      tell(call.from.id, 'call_accepted', { callId, answer });
    }
  });

  socket.on('reject_call', ({ callId }) => {
    const call = calls.get(callId);
    if (call) {
      calls.delete(callId);
      log(`📞 ${callId} is rejected`);
      tell(call.from.id, 'call_rejected', { callId });
    }
  });

  socket.on('end_call', ({ callId }) => {
    const call = calls.get(callId);
    if (call && me) {
      calls.delete(callId);
      log(`📞 ${callId} ends`);
      tell(otherParty(call, me.id), 'call_ended', { callId });
    }
  });

  socket.on('ice_candidate', ({ to, candidate }) => {
    if (me) {
      log(`🧊 ${me.username} sends a candidate`);
      tell(to, 'ice_candidate', { from: me.id, candidate });
    }
  });

  socket.on('ping', () => {
    socket.emit('pong');
  });

  socket.on('error', (error) => {
    log(`❌ ${error.message}`);
  });

  socket.on('disconnect', () => {
    log(`🔌 ${socket.id} disconnects`);
    if (!me || activeUsers.get(me.id)?.socketId !== socket.id) {
      return;
    }
    activeUsers.delete(me.id);
    users.set(me.id, { ...me, isOnline: false, lastSeen: new Date().toISOString() });
    for (const [callId, call] of calls) {
      if (call.from.id === me.id || call.to.id === me.id) {
        calls.delete(callId);
        tell(otherParty(call, me.id), 'call_ended', { callId });
      }
    }
    announce();
  });
});

server.listen(Number(PORT), HOST, () => {
  const { address, port } = server.address();
  // Always said, in the words by which the measurements know that a server is ready.
  console.log(`serving at ${address}:${port}, version ${process.version}`);
});
