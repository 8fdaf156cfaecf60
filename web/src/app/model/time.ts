/** `02:05`, with hours where there are any. */
export function duration(seconds: number): string {
  const whole = Math.max(Math.floor(seconds), 0);
  const part = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const rest = `${part(Math.floor(whole / 60) % 60)}:${part(whole % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/** The day of `time` as a person standing at `now` says it, by the calendar of this machine. */
export function dayWords(time: number, now: number, locale?: string): string {
  const day = new Date(time);
  const today = new Date(now);
  if (isSameDay(day, today)) return 'Today';
  // Not 24 hours: a day may have 23 or 25.
  if (isSameDay(day, new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1)))
    return 'Yesterday';
  const year = day.getFullYear() === today.getFullYear() ? {} : { year: 'numeric' as const };
  return day.toLocaleDateString(locale, { weekday: 'long', day: 'numeric', month: 'long', ...year });
}

export function clockWords(time: number): string {
  return new Date(time).toLocaleTimeString(undefined, { hour: 'numeric', minute: '2-digit' });
}

function isSameDay(a: Date, b: Date): boolean {
  return a.toDateString() === b.toDateString();
}
