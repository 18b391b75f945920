// The console gateway's own door: it runs on the core's thread, beside the admin API.
export { type ConsoleAsset, servePages } from './pages.ts'
export { type Console, createConsole } from './routes.ts'
