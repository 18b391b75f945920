export type {
  BucketRecord,
  ChooseHolders,
  ClusterAdmin,
  ClusterEvent,
  ClusterView,
  Credential,
  Member,
  MemberState,
  PlacementOptions,
  PlacementRule,
  Settings,
} from './cluster.ts'
export { answerDiscovery, type DiscoveryFacts } from './answer-discovery.ts'
export { type Replacement, replaceMember, updateMember } from './cluster-admin.ts'
export {
  type Addresses,
  type GroupFacts,
  type HeldFacts,
  type LeavingFacts,
  type LeavingPlan,
  type Newcomer,
  planAddition,
  planDrain,
  planReaddress,
  planRemoval,
} from './core/leaving-plan.ts'
export {
  type FounderFacts,
  firstObjectsNamespace,
  planFounders,
  votersMax,
} from './core/genesis.ts'
export { authorityName, clusterOfAuthority, memberOfUris, nodeUri } from './core/identity-names.ts'
export { changeSetting } from './core/cluster-config.ts'
export { identityFiles } from './core/identity-files.ts'
export { renderJoinAnswer } from './core/enrol-messages.ts'
export { formatJoinToken, type JoinToken, parseJoinToken } from './core/join-token.ts'
export {
  decodeAnswer,
  type DiscoveryAnswer,
  discoveryGroup,
  encodeQuestion,
} from './core/discovery.ts'
export { hasCapability } from './core/capabilities.ts'
export { bindOf, capabilityKinds } from './core/capability-settings.ts'
export { defaultServices } from './core/settings-bundle.ts'
export { renderDnsmasq, renderHosts } from './core/dns-hints.ts'
export { type Configuration, isInStep, planMembership } from './core/membership-plan.ts'
export { chooseHolders, mayHoldData, PlacementTable, type Verdict } from './core/placement.ts'
export { checkLabels, checkRule, ruleOf, unmetLabels } from './core/placement-rule.ts'
export { explainPlacement, type PlacementReason } from './core/placement-reasons.ts'
export { checkSqlDatabase, checkUserNamespace } from './core/namespace-names.ts'
export {
  joinerProof,
  memberProof,
  type PairingRequest,
  pairingCost,
  pairingSalt,
  pairingWords,
  readPairingRequest,
  renderPairingRequest,
} from './core/pairing-messages.ts'
export { formatAddress, requireAddress } from './core/json-fields.ts'
export { formatWords, parseWords } from './core/words.ts'
export { createPairing, type Pairing, type PairingCode } from './pairing.ts'
export { programVersion } from './core/program-version.ts'
export {
  featuresBetween,
  firstLevel,
  type HeardLevel,
  levelFault,
  levelOf,
  newestLevel,
  planRaise,
  type RaisePlan,
} from './core/feature-levels.ts'
export type { LevelRecord } from './core/records.ts'
export {
  changeLevelPolicy,
  LevelKeeper,
  raiseLevel,
  readLevel,
} from './level-keeper.ts'
export { type NamespaceRecord, systemNamespace } from './core/records.ts'
export {
  type EtcdControl,
  followMembers,
  isSameTopology,
  extendTopology,
  planTopology,
  readdressInTopology,
  renderTopology,
  shrinkTopology,
  replaceInTopology,
  type Topology,
  topologyDefaults,
} from './core/topology.ts'
export type {
  Approval,
  AuthorityStep,
  AuthorityView,
  CertificateView,
  ClusterConfig,
  ConfigVersion,
  EnrolmentDesk,
  EnrolmentSettings,
  EnrolmentState,
  EnrolmentView,
  JoinAnswer,
  JoinClient,
  JoinFields,
  JoinKeys,
  JoinMember,
  JsonValue,
  PinnedServer,
  RenewAnswer,
  RenewRequest,
  TokenOptions,
  TokenView,
} from './enrolment.ts'
export type { Credentials } from './credentials.ts'
export { joinClient } from './join-client.ts'
export { MemberTrust } from './member-trust.ts'
export { type FoundingOptions, foundCluster, readLocalMembers } from './found-cluster.ts'
export {
  type Added,
  addMember,
  additionParts,
  type AskedFacts,
  cancelDrain,
  declareDrained,
  drainMember,
  isDrained,
  readDrain,
  readDraining,
  readdressMember,
  removeMember,
  setMovesShare,
} from './leaving.ts'
export {
  beginClosing,
  createNamespace,
  databaseMap,
  ownMap,
  dropNamespace,
  findNamespace,
  listNamespaces,
  type NamespaceMap,
  readMapVersion,
  userMap,
  userNamespacesMax,
} from './namespaces.ts'
export { createChooseHolders } from './placement-memo.ts'
export {
  askAgain,
  type Cluster,
  type ClusterOptions,
  openCluster,
  type Patience,
} from './open-cluster.ts'
export {
  type BeatFacts,
  type BeatRow,
  type HeartbeatDependencies,
  type HeartbeatOptions,
  Heartbeats,
} from './heartbeats.ts'
export {
  changeMember,
  changePlacementRule,
  type Descriptor,
  describeMember,
  type EventText,
  eventsMax,
  labelMember,
  listEvents,
  listEventsAfter,
  planEvent,
  readPlacementRule,
  setCapabilities,
} from './registry.ts'
export { describeIssue } from './core/shape-issue.ts'
