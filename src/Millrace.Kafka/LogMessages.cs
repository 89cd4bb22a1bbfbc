using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Everything that the client logs. Event ids 3000 to 3999.</summary>
internal static partial class LogMessages
{
    // Connections: 3000-3099.
    [LoggerMessage(3000, LogLevel.Information, "Lost the connection to {Address} with {OutstandingCount} requests outstanding: {Reason}")]
    public static partial void ConnectionLost(ILogger logger, BrokerAddress address, int outstandingCount, string reason);

    [LoggerMessage(3001, LogLevel.Debug, "Closing the connection to {Address} failed.")]
    public static partial void ConnectionCloseFailed(ILogger logger, BrokerAddress address, Exception exception);

    [LoggerMessage(3002, LogLevel.Debug, "Connected to {Address} for {Purpose}.")]
    public static partial void Connected(ILogger logger, BrokerAddress address, ConnectionPurpose purpose);

    [LoggerMessage(3003, LogLevel.Warning, "Cannot connect to {Address}; the next attempt is in {Pause}. {Reason}")]
    public static partial void ConnectFailed(ILogger logger, BrokerAddress address, TimeSpan pause, string reason);

    [LoggerMessage(3004, LogLevel.Debug, "{Address} wants a pause of {Pause} in its answer to {Api} (throttle_time_ms): nothing is sent to it on this connection until then.")]
    public static partial void ConnectionThrottled(ILogger logger, BrokerAddress address, ApiKey api, TimeSpan pause);

    [LoggerMessage(3005, LogLevel.Debug, "Closed a connection to {Address} that nothing uses (connections.max.idle.ms).")]
    public static partial void ConnectionUnused(ILogger logger, BrokerAddress address);

    [LoggerMessage(3006, LogLevel.Debug, "Logged in to {Address} by {Mechanism} again, before the session ended (connections.max.reauth.ms).")]
    public static partial void SessionRenewed(ILogger logger, BrokerAddress address, string mechanism);

    [LoggerMessage(3007, LogLevel.Error, "{Address} and this client could not make sure of each other; it is not tried again before {Pause}. {Reason}")]
    public static partial void AuthenticationFailed(ILogger logger, BrokerAddress address, TimeSpan pause, string reason);

    [LoggerMessage(3008, LogLevel.Warning, "No new token: connections log in with the one that ends at {ExpiresAt:O}, and the provider is asked again in {Pause}. {Reason}")]
    public static partial void TokenNotRenewed(ILogger logger, DateTimeOffset expiresAt, TimeSpan pause, string reason);

    // Metadata: 3100-3199.
    [LoggerMessage(3100, LogLevel.Debug, "Metadata: {BrokerCount} brokers, {TopicCount} topics, controller {ControllerId}.")]
    public static partial void MetadataRefreshed(ILogger logger, int brokerCount, int topicCount, int controllerId);

    [LoggerMessage(3101, LogLevel.Warning, "Metadata could not be refreshed; the next attempt is in {Pause}. {Reason}")]
    public static partial void MetadataRefreshFailed(ILogger logger, TimeSpan pause, string reason);

    [LoggerMessage(3102, LogLevel.Warning, "The brokers that were known are given up, and the bootstrap servers asked: {Reason} (metadata.recovery.strategy).")]
    public static partial void Rebootstrapping(ILogger logger, string reason);

    [LoggerMessage(3103, LogLevel.Warning, "The cluster was {KnownClusterId} and is {ClusterId} now: what was known of its topics is forgotten. Check that the bootstrap servers belong to one cluster.")]
    public static partial void AnotherCluster(ILogger logger, string knownClusterId, string clusterId);

    [LoggerMessage(3104, LogLevel.Debug, "{Partition} is led by broker {LeaderId} in epoch {LeaderEpoch} now, says the one that led it.")]
    public static partial void LeaderLearned(ILogger logger, TopicPartition partition, int leaderId, int leaderEpoch);

    // Producer: 3200-3299.
    [LoggerMessage(3200, LogLevel.Information, "Producer id {ProducerId}, epoch {ProducerEpoch}.")]
    public static partial void ProducerIdentityObtained(ILogger logger, long producerId, short producerEpoch);

    [LoggerMessage(3201, LogLevel.Warning, "No producer id yet; the next attempt is in {Pause}. {Reason}")]
    public static partial void ProducerIdentityFailed(ILogger logger, TimeSpan pause, string reason);

    [LoggerMessage(3202, LogLevel.Debug, "A batch of {RecordCount} records for {Partition} is sent again after attempt {Attempt}: {ErrorCode}.")]
    public static partial void BatchRetried(ILogger logger, int recordCount, TopicPartition partition, int attempt, ErrorCode errorCode);

    [LoggerMessage(3203, LogLevel.Error, "{RecordCount} records for {Partition} failed: {Reason}")]
    public static partial void BatchFailed(ILogger logger, int recordCount, TopicPartition partition, string reason);

    [LoggerMessage(3204, LogLevel.Warning, "The sequence of {Partition} starts anew with epoch {ProducerEpoch}: a batch before it failed, or the broker has lost what it acknowledged (KIP-360).")]
    public static partial void SequenceReset(ILogger logger, TopicPartition partition, short producerEpoch);

    [LoggerMessage(3205, LogLevel.Error, "The producer's loop failed; all outstanding records fail.")]
    public static partial void ProducerLoopFailed(ILogger logger, Exception exception);

    [LoggerMessage(3206, LogLevel.Error, "A delivery handler threw when it was told of records of {Partition}. The records are not affected.")]
    public static partial void DeliveryHandlerFailed(ILogger logger, TopicPartition partition, Exception exception);

    [LoggerMessage(3207, LogLevel.Debug, "Producer '{TransactionalId}': {Api} is asked again in {Pause}. {Reason}")]
    public static partial void TransactionStepRetried(ILogger logger, string transactionalId, ApiKey api, TimeSpan pause, string reason);

    [LoggerMessage(3208, LogLevel.Warning, "Producer '{TransactionalId}': the transaction has to be aborted. {Reason}")]
    public static partial void TransactionFailed(ILogger logger, string transactionalId, string reason);

    [LoggerMessage(3209, LogLevel.Error, "Producer '{TransactionalId}' can write nothing any more. {Reason}")]
    public static partial void TransactionalProducerDead(ILogger logger, string transactionalId, string reason);

    [LoggerMessage(3210, LogLevel.Warning, "A producer is opened with acks={Acks}: a record that is acknowledged can be lost when a broker fails. Set Acks to All, unless that is meant.")]
    public static partial void AcknowledgementsWeak(ILogger logger, Acks acks);

    [LoggerMessage(3211, LogLevel.Warning, "A producer is opened without idempotence: a retry can write a record twice or out of order. Leave EnableIdempotence unset, unless that is meant.")]
    public static partial void IdempotenceOff(ILogger logger);

    [LoggerMessage(3212, LogLevel.Warning,
        "{RecordCount} records for {Partition} are sent in two parts: the broker takes no batch of {ByteCount} bytes. Raise the topic's max.message.bytes, or lower BatchByteCount.")]
    public static partial void BatchSplit(ILogger logger, int recordCount, TopicPartition partition, int byteCount);

    // Consumer: 3300-3399.
    [LoggerMessage(3300, LogLevel.Information, "Group {GroupId}: member {MemberId} joined generation {GenerationId} by {Assignor}: {PartitionCount} partitions.")]
    public static partial void GroupJoined(ILogger logger, string groupId, string memberId, int generationId, string assignor, int partitionCount);

    [LoggerMessage(3301, LogLevel.Information, "Group {GroupId}: member {MemberId} of generation {GenerationId} rejoins: {Reason}")]
    public static partial void GroupRejoining(ILogger logger, string groupId, string memberId, int generationId, string reason);

    [LoggerMessage(3302, LogLevel.Warning, "Group {GroupId}: member {MemberId} of generation {GenerationId} has lost its partitions: {Reason}")]
    public static partial void GroupMembershipLost(ILogger logger, string groupId, string memberId, int generationId, string reason);

    [LoggerMessage(3303, LogLevel.Warning, "Group {GroupId}: {Step} failed; the next attempt is in {Pause}. {Reason}")]
    public static partial void GroupStepRetried(ILogger logger, string groupId, string step, TimeSpan pause, string reason);

    [LoggerMessage(3304, LogLevel.Error, "Group {GroupId}: the rebalance callback failed.")]
    public static partial void RebalanceCallbackFailed(ILogger logger, string groupId, Exception exception);

    [LoggerMessage(3305, LogLevel.Warning, "Group {GroupId}: member {MemberId} announces a subscription that cannot be read, and gets no partitions: {Reason}")]
    public static partial void SubscriptionUnreadable(ILogger logger, string groupId, string memberId, string reason);

    [LoggerMessage(3306, LogLevel.Error, "Group {GroupId}: the member's loop failed.")]
    public static partial void GroupFailed(ILogger logger, string groupId, Exception exception);

    [LoggerMessage(3307, LogLevel.Information, "{Partition}: no usable position; it is set to {Offset} ({Reset}).")]
    public static partial void PositionReset(ILogger logger, TopicPartition partition, Offset offset, PositionSource reset);

    [LoggerMessage(3308, LogLevel.Debug, "{Partition}: {ErrorCode} at fetching; metadata is refreshed.")]
    public static partial void FetchRetried(ILogger logger, TopicPartition partition, ErrorCode errorCode);

    [LoggerMessage(3309, LogLevel.Warning, "Fetching from {Address} failed; the next attempt is in {Pause}. {Reason}")]
    public static partial void FetchFailed(ILogger logger, BrokerAddress address, TimeSpan pause, string reason);

    [LoggerMessage(3310, LogLevel.Warning, "Looking up positions failed; the next attempt is in {Pause}. {Reason}")]
    public static partial void PositionLookupFailed(ILogger logger, TimeSpan pause, string reason);

    [LoggerMessage(3311, LogLevel.Error, "The consumer's loop failed.")]
    public static partial void ConsumerLoopFailed(ILogger logger, Exception exception);

    [LoggerMessage(3312, LogLevel.Warning, "There is no topic '{Topic}', which a consumer is to read: it waits until there is one. Check the name, or create the topic.")]
    public static partial void TopicMissing(ILogger logger, string topic);

    [LoggerMessage(3313, LogLevel.Information, "Group {GroupId}: member {MemberId} of generation {GenerationId} ends: the consumer closes.")]
    public static partial void GroupClosing(ILogger logger, string groupId, string memberId, int generationId);

    [LoggerMessage(3314, LogLevel.Warning, "Topic '{Topic}', which a consumer is to read, cannot be used: {Reason} It waits until it can.")]
    public static partial void TopicUnusable(ILogger logger, string topic, string reason);

    [LoggerMessage(3315, LogLevel.Warning, "There is no partition {Partition}, which a consumer is to read: the topic has {PartitionCount}, counted from 0. It waits until there is one.")]
    public static partial void PartitionMissing(ILogger logger, TopicPartition partition, int partitionCount);

    [LoggerMessage(3330, LogLevel.Information, "Group {GroupId}: member {MemberId} entered with epoch {MemberEpoch}.")]
    public static partial void GroupEntered(ILogger logger, string groupId, string memberId, int memberEpoch);

    [LoggerMessage(3331, LogLevel.Warning, "Group {GroupId}: the protocol of KIP-848 is not to be had, and the member goes on with the classic one. {Reason}")]
    public static partial void GroupProtocolRefused(ILogger logger, string groupId, string reason);

    [LoggerMessage(3332, LogLevel.Warning,
        "Group {GroupId}: the application took records {Silence} ago and has not polled since; MaxPollInterval is {MaxPollInterval}. A handler may hang: nobody reads the {PartitionCount} partitions of this member meanwhile.")]
    public static partial void PollIntervalExceeded(ILogger logger, string groupId, TimeSpan silence, TimeSpan maxPollInterval, int partitionCount);

    [LoggerMessage(3333, LogLevel.Warning,
        "Group {GroupId}: the pattern '{Pattern}' was not through with topic '{Topic}' within {MatchTimeout}, its match time-out, so that the topic does not count as matching. Write the pattern so that it cannot backtrack (RegexOptions.NonBacktracking).")]
    public static partial void PatternTimedOut(ILogger logger, string groupId, string pattern, string topic, TimeSpan matchTimeout);

    // What a consumer reads: 3350-3399.
    [LoggerMessage(3350, LogLevel.Warning, "{Partition}: the log was truncated. Position {Position} is not in the leader's log, which parts from what was read at {Divergence} (-1: unknown).")]
    public static partial void LogTruncated(ILogger logger, TopicPartition partition, Offset position, Offset divergence);

    [LoggerMessage(3351, LogLevel.Warning, "{Partition}: the topic was deleted and created again (id {Before}, now {Now}); the position is looked up anew.")]
    public static partial void TopicRecreated(ILogger logger, TopicPartition partition, Guid before, Guid now);

    [LoggerMessage(3352, LogLevel.Debug, "{Partition} is fetched from replica {NodeId}, which its leader prefers for this rack.")]
    public static partial void FetchRedirected(ILogger logger, TopicPartition partition, int nodeId);

    [LoggerMessage(3353, LogLevel.Debug, "{Address}: {ErrorCode}; the fetch session begins anew.")]
    public static partial void FetchSessionLost(ILogger logger, BrokerAddress address, ErrorCode errorCode);

    [LoggerMessage(3354, LogLevel.Warning, "Comparing positions with a leader's log failed; the next attempt is in {Pause}. {Reason}")]
    public static partial void ValidationFailed(ILogger logger, TimeSpan pause, string reason);
}
