// Windows of a schedule: in words, and between a cron line and the fields of a form.

const DAYS = {
  "*": "Every day",
  "1-5": "Monday to Friday",
  "0,6": "Saturday and Sunday",
};
const SAME_DAYS = { "0-6": "*", "1-7": "*", "6,0": "0,6", "6,7": "0,6", "6-7": "0,6" };

/** The choices of days: `[value, words]`, the value as cron's last field. */
export const DAY_CHOICES = Object.entries(DAYS);

/** A cron line as `{ days, time }`, both for the form; null where it is another line than these can express. */
export function simple(cron) {
  const match = /^(\d{1,2}) (\d{1,2}) \* \* (\S+)$/.exec(cron.trim().replace(/\s+/g, " "));
  if (match === null) return null;
  const [, minute, hour, field] = match;
  const days = SAME_DAYS[field] ?? field;
  if (!(days in DAYS) || Number(minute) > 59 || Number(hour) > 23) return null;
  return { days, time: `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}` };
}

/** The cron line of days and a time such as 23:00. */
export function cronOf(days, time) {
  const [hour, minute] = time.split(":").map(Number);
  return `${minute} ${hour} * * ${days}`;
}

/** Minutes as 7 h, 1 h 30 min, 45 min. */
export function length(minutes) {
  const parts = [
    [Math.floor(minutes / 60), "h"],
    [minutes % 60, "min"],
  ];
  return parts.filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** Every day at 23:00 for 7 h (Europe/Berlin), ready by then. */
export function windowWords({ cron, durationMinutes, timeZone, readyBy }) {
  const known = simple(cron);
  const opens = known === null ? `At cron ${cron}` : `${DAYS[known.days]} at ${known.time}`;
  return `${opens} for ${length(durationMinutes)} (${timeZone})${readyBy ? ", ready by then" : ""}`;
}
