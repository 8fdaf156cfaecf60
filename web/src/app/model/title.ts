import { effect } from '@preact/signals';
import { call, callVersion } from './call';
import { missedCount } from './records';
import { titleWords } from './words';

effect(() => {
  callVersion.value;
  const current = call.value;
  const told = current && { phase: current.state.phase, peer: current.peer.username };
  document.title = titleWords(told, missedCount.value);
});
