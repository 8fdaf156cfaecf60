import { avatarTone } from '../model/words';

interface AvatarProps {
  readonly name: string;
  readonly online?: boolean;
}

/** Initial and colour stand in for a picture; the name is always written beside it. */
export function Avatar({ name, online = false }: AvatarProps) {
  return (
    <span class={`avatar tone-${avatarTone(name)}`} aria-hidden="true">
      {name.charAt(0).toUpperCase()}
      {online && <span class="dot" />}
    </span>
  );
}
