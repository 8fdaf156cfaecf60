import type { ComponentChildren } from 'preact';

/** Line drawings on a grid of 24, in the colour of the text around them; the words beside them name the thing. */
function drawing(children: ComponentChildren) {
  return () => (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

const MIC = (
  <>
    <rect x="9" y="3" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
  </>
);
const CAMERA = (
  <>
    <rect x="2.5" y="6" width="12.5" height="12" rx="3" />
    <path d="m15 13 6.5 3.75v-9.5L15 11" />
  </>
);
const SCREEN = (
  <>
    <rect x="2.5" y="4" width="19" height="13" rx="2.5" />
    <path d="M8.5 20.5h7" />
  </>
);
const HANDSET =
  'M5 3.5h3.2l1.7 4.3-2.1 1.6a12 12 0 0 0 6.8 6.8l1.6-2.1 4.3 1.7V19a1.8 1.8 0 0 1-1.9 1.8A16.5 16.5 0 0 1 3.2 5.4 1.8 1.8 0 0 1 5 3.5Z';
const STRUCK = <path d="M3.5 3.5l17 17" />;

export const MicIcon = drawing(MIC);
export const MicOffIcon = drawing(
  <>
    {MIC}
    {STRUCK}
  </>,
);
export const CameraIcon = drawing(CAMERA);
export const CameraOffIcon = drawing(
  <>
    {CAMERA}
    {STRUCK}
  </>,
);
export const ScreenIcon = drawing(
  <>
    {SCREEN}
    <path d="M12 13.5v-6M9.5 9.5 12 7l2.5 2.5" />
  </>,
);
export const ScreenOffIcon = drawing(
  <>
    {SCREEN}
    <path d="m9.75 8.25 4.5 4.5M14.25 8.25l-4.5 4.5" />
  </>,
);
export const PhoneIcon = drawing(<path d={HANDSET} />);
/** The handset laid down. */
export const HangUpIcon = drawing(
  <g transform="rotate(135 12 12)">
    <path d={HANDSET} />
  </g>,
);
export const OutgoingIcon = drawing(<path d="M6.5 17.5 17 7M9 6.5h8.5V15" />);
export const IncomingIcon = drawing(<path d="M17.5 6.5 7 17M15 17.5H6.5V9" />);
export const MissedIcon = drawing(<path d="m4.5 7 7.5 7.5L20 6.5M4.5 12.5V7H10" />);
export const SearchIcon = drawing(
  <>
    <circle cx="11" cy="11" r="6.5" />
    <path d="m16 16 4.5 4.5" />
  </>,
);
export const PersonIcon = drawing(
  <>
    <circle cx="12" cy="8" r="4" />
    <path d="M4.5 20.5a7.5 7.5 0 0 1 15 0" />
  </>,
);
export const EyeIcon = drawing(
  <>
    <path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z" />
    <circle cx="12" cy="12" r="2.75" />
  </>,
);
export const EyeOffIcon = drawing(
  <>
    <path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z" />
    {STRUCK}
  </>,
);
export const CloseIcon = drawing(<path d="m6 6 12 12M18 6 6 18" />);
export const LeaveIcon = drawing(
  <path d="M10 4H6.5A2.5 2.5 0 0 0 4 6.5v11A2.5 2.5 0 0 0 6.5 20H10M15 8l4 4-4 4M19 12H9.5" />,
);
