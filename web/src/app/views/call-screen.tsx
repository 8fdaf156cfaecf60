import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Call } from '../../client';
import { NoticeBar } from '../components/notice';
import { callVersion } from '../model/call';
import { InCall } from './in-call';
import { Incoming } from './incoming';

/** One dialog from the ring to the end: modal, since a call is what there is to do now. */
export function CallScreen({ call }: { call: Call }) {
  // The call is an object with state of its own; this subscribes to its changes.
  callVersion.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const ringing = call.state.phase === 'incoming';

  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    // Closing gives the focus back to where it was.
    return () => element?.close();
  }, []);
  // Neither on a button, where a key that was meant for something else would answer, nor on one that went with the ringing.
  useLayoutEffect(() => heading.current?.focus(), [ringing]);

  return (
    <dialog
      ref={dialog}
      class={ringing ? 'ringing' : 'in-call'}
      aria-label={`${ringing ? 'Incoming call from' : 'Call with'} ${call.peer.username}`}
      // Escape was mostly meant for what the ring came upon; Chromium lets `cancel` alone be prevented only once.
      onKeyDown={(event) => {
        if (event.key === 'Escape') event.preventDefault();
      }}
      onCancel={(event) => event.preventDefault()}
      // By the back gesture of a phone, which some browsers let nobody prevent: the call goes on.
      onClose={(event) => {
        if (event.currentTarget.isConnected) event.currentTarget.showModal();
      }}
    >
      {ringing ? <Incoming call={call} heading={heading} /> : <InCall call={call} heading={heading} />}
      <NoticeBar active />
    </dialog>
  );
}
