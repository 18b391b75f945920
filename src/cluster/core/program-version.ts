// The version of this program, as members tell it to one another. The same as in package.json, which a test holds
// it against.

export const programVersion = '0.1.0'
