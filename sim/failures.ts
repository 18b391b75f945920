// How a run ends early, and how a node does.

/** Why a seed fails. */
export class WorldFailure extends Error {
  override name = 'WorldFailure'
}

/** Thrown by journal.fatal after the node was destroyed: unwinds the node's own stack. */
export class NodeStopped extends Error {
  override name = 'NodeStopped'
}
