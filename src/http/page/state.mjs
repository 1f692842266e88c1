// The page's knowledge of the daemon, without DOM, network or clock, so that node can test it.

/** How many steps of a job are kept. */
export const MOST_STEPS = 32;

/** Returns the state before anything is known. */
export function emptyState() {
  return {
    revision: null,
    connectedAt: 0,
    containers: new Map(),
    devcontainers: new Map(),
    warnings: [],
    // The steps of each dev container's job, which the daemon tells one at a time.
    tracks: new Map(),
  };
}

/**
 * Returns the state after an event that arrived at `now`, in milliseconds. Objects that did not change stay the same
 * objects, by which a renderer knows what to leave alone. An event that makes no sense changes nothing.
 */
export function reduce(state, event, now) {
  switch (event?.type) {
    case 'connected':
      return { ...state, connectedAt: now };
    case 'snapshot':
      return Number.isFinite(event.revision) ? afterSnapshot(state, event, now) : state;
    case 'heartbeat':
    case undefined:
      return state;
  }
  // A stream that was given up may still have had a change on its way.
  if (!Number.isFinite(event.revision) || event.revision <= state.revision) return state;
  const next = { ...state, revision: event.revision };
  switch (event.type) {
    case 'container':
      return isObject(event) ? { ...next, containers: withEntry(state.containers, event) } : state;
    case 'devcontainer':
      if (!isObject(event)) return state;
      next.devcontainers = withEntry(state.devcontainers, event);
      next.tracks = withTrack(state.tracks, event, now, isWitnessed(state, now));
      return next;
    case 'container_removed':
      return { ...next, containers: withoutEntry(state.containers, event.id) };
    case 'devcontainer_removed':
      next.devcontainers = withoutEntry(state.devcontainers, event.id);
      next.tracks = withoutEntry(state.tracks, event.id);
      return next;
    case 'warnings':
      return { ...next, warnings: texts(event.warnings) };
    default:
      // A later daemon may tell of more.
      return next;
  }
}

function afterSnapshot(state, event, now) {
  const devcontainers = byId(event.devcontainers);
  let tracks = state.tracks;
  for (const one of devcontainers.values()) tracks = withTrack(tracks, one, now, false);
  for (const id of tracks.keys()) if (!devcontainers.has(id)) tracks = withoutEntry(tracks, id);
  return {
    revision: event.revision,
    connectedAt: state.connectedAt,
    containers: byId(event.containers),
    devcontainers,
    warnings: texts(event.warnings),
    tracks,
  };
}

/** What a stream tells right after it was resumed may have happened at any time while it was broken. */
function isWitnessed(state, now) {
  return now - state.connectedAt > 1000;
}

const isObject = (one) => typeof one === 'object' && one !== null && typeof one.id === 'string';
const byId = (list) => new Map((Array.isArray(list) ? list : []).filter(isObject).map((one) => [one.id, one]));
const texts = (list) => (Array.isArray(list) ? list.filter((one) => typeof one === 'string') : []);
const withEntry = (map, one) => new Map(map).set(one.id, one);

function withoutEntry(map, id) {
  if (!map.has(id)) return map;
  const next = new Map(map);
  next.delete(id);
  return next;
}

function withTrack(tracks, devcontainer, now, isExact) {
  const { id, job } = devcontainer;
  const before = tracks.get(id);
  const after = track(before, job, now, isExact);
  if (after === before) return tracks;
  return after ? new Map(tracks).set(id, after) : withoutEntry(tracks, id);
}

/**
 * Returns the steps that a job is known to have taken. `isExact` is false if the change may have come earlier than
 * `now`.
 */
export function track(before, job, now, isExact) {
  if (!job || job.state === 'queued') return undefined;
  const key = jobKey(job);
  let after = before?.key === key ? before : { key, steps: [], endedAt: null };
  const last = after.steps.at(-1);
  if (isActive(job) && job.phase && job.phase !== last?.name) {
    const step = { name: job.phase, at: now, isExact };
    after = { ...after, steps: [...after.steps, step].slice(-MOST_STEPS) };
  }
  if (!isActive(job) && after.endedAt === null) {
    after = { ...after, endedAt: now, isEndExact: isExact };
  }
  return after;
}

/** Tells the jobs of one dev container apart. */
export function jobKey(job) {
  return job ? `${job.kind} ${job.started_at}` : '';
}

/** True while a job waits or runs. */
export function isActive(job) {
  return job?.state === 'queued' || job?.state === 'running';
}

/** Returns the steps of a track with their seconds. Of one whose begin or end was not seen, the seconds are a guess. */
export function stepTimes(known, now) {
  const steps = known?.steps ?? [];
  return steps.map((step, index) => {
    const next = steps[index + 1];
    const end = next?.at ?? known.endedAt ?? now;
    const isEndExact = next ? next.isExact : known.endedAt === null || known.isEndExact;
    return {
      name: step.name,
      seconds: Math.max(0, end - step.at) / 1000,
      isExact: step.isExact && isEndExact,
      isCurrent: !next && known.endedAt === null,
    };
  });
}

/** Returns dev containers in the order of `GET /devcontainers`. */
export function sortedDevcontainers(map) {
  const key = (one) => [one.workspace_folder ?? '', one.config_path ?? '', one.id];
  return sorted(map, key, 1);
}

/** Returns containers in the order of `GET /`: newest first. */
export function sortedContainers(map) {
  // Without the Z, a time with fewer digits sorts before one with more.
  const key = (one) => [String(one.created_at ?? '').replace(/Z$/, ''), one.id];
  return sorted(map, key, -1);
}

function sorted(map, key, direction) {
  const keyed = [...map.values()].map((one) => [key(one), one]);
  const order = (a, b) => (a < b ? -direction : a > b ? direction : 0);
  const compare = ([a], [b]) => a.reduce((found, part, index) => found || order(part, b[index]), 0);
  return keyed.sort(compare).map(([, one]) => one);
}

/** Splits warnings into the one that says that docker does not answer, if there is one, and the others. */
export function splitWarnings(warnings) {
  const isFailure = (text) => text.startsWith('containers cannot be listed');
  return { failure: warnings.find(isFailure), others: warnings.filter((text) => !isFailure(text)) };
}
