// Text for a shell.

/** As one word of a shell: it's becomes 'it'\''s'. */
export function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
