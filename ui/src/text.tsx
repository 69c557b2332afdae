/** Text of others: it names, says and logs what it likes, and is shown as text, harmless. */

// Terminal sequences: OSC up to its end, CSI, and the two-character ones.
const ANSI = /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[\u001b\u009b]\[?[0-9;:?<=>]*[ -/]*[@-~]/g;
// Controls but tab and line end; marks, embeddings, overrides and isolates of direction; invisible tags.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Without terminal sequences; what cannot be seen or turns the direction of text is spelled out. */
export function clean(text: unknown): string {
  if (text === null || text === undefined) {
    return "";
  }
  return String(text)
    .replace(/\r\n?/g, "\n")
    .replace(ANSI, "")
    .replace(HIDDEN, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** One line, at most so many characters; the middle of a longer one is left out. */
export function short(text: unknown, most = 60): string {
  const line = clean(text).replace(/\s+/g, " ");
  if (line.length <= most) {
    return line;
  }
  const half = (most - 1) / 2;
  return `${line.slice(0, Math.ceil(half))}…${line.slice(-Math.floor(half))}`;
}

/** Somebody's text, which keeps its direction to itself. */
export function Said({ text, most, class: name }: { text: unknown; most?: number; class?: string }) {
  const whole = clean(text);
  const shown = most === undefined ? whole : short(text, most);
  return (
    <bdi class={name} title={shown === whole ? undefined : whole}>
      {shown}
    </bdi>
  );
}

/** A name that may be empty, as something that can be seen and read out. */
export function named(name: unknown): unknown {
  return clean(name).trim() === "" ? "(no name)" : name;
}

/** Words for a name in code: `waiting_room` -> `Waiting room`. */
export function words(name: unknown): string {
  const text = clean(name).replace(/_/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}
