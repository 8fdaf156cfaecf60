import { Brand } from '../components/brand';
import { user } from '../model/client';
import { Account } from './account';
import { ConnectionBar } from './connection-bar';
import { People } from './people';
import { Recent } from './recent';

export function Lobby() {
  return (
    <div class="lobby">
      <header>
        <Brand />
        <h1>Calls</h1>
        <span class="quiet who">{user.value?.username}</span>
        <Account />
      </header>
      <ConnectionBar />
      <main>
        <People />
        <Recent />
      </main>
    </div>
  );
}
