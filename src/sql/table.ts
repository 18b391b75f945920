/** The table of the node's store that the room keeps its rows in (rows.ts); whoever opens the store must name it. */
export const sqlTable = 'sql'
