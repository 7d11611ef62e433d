// One color for each object, the same in the list and in the picture: far apart in hue, light enough for any video.

const GOLDEN_ANGLE = 137.508;
const FIRST_HUE = 205;

export function hueOf(id) {
  return (FIRST_HUE + (id - 1) * GOLDEN_ANGLE) % 360;
}

export function colorOf(id, alpha = 1) {
  return `hsl(${hueOf(id).toFixed(1)} 90% 62% / ${alpha})`;
}

export const STATES = {
  TRACKED: "followed",
  UNCERTAIN: "unsure",
  LOST: "lost",
  REACQUIRED: "found again",
};

export function titleOf(object) {
  return object.label || `object ${object.id}`;
}
