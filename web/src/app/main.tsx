import { render } from 'preact';
import './model/ring';
import './model/title';
import { NoticeBar } from './components/notice';
import { call } from './model/call';
import { user } from './model/client';
import { CallScreen } from './views/call-screen';
import { Lobby } from './views/lobby';
import { SignIn } from './views/sign-in';

function App() {
  return (
    <>
      {user.value === null ? <SignIn /> : <Lobby />}
      {call.value !== null && <CallScreen call={call.value} />}
      {/* What lies outside a modal dialog is inert: a call tells its own. */}
      <NoticeBar active={call.value === null} />
    </>
  );
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
