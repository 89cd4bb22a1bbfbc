using System.Net;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// Everything that the broker logs. Event ids: 2000-2099 the broker, 2100-2199 connections, 2200-2299 topics and records, 2300-2399 groups, offsets and producer ids,
/// 2400-2499 transactions.
/// </summary>
internal static partial class LogMessages
{
    [LoggerMessage(2000, LogLevel.Information, "The broker serves {Directory} on {Listen}; cluster {ClusterId}, {PartitionCount} partitions.")]
    public static partial void BrokerStarted(ILogger logger, string directory, string listen, string clusterId, int partitionCount);

    [LoggerMessage(2001, LogLevel.Information, "The broker has stopped; its data directory is closed cleanly.")]
    public static partial void BrokerStopped(ILogger logger);

    [LoggerMessage(2002, LogLevel.Warning, "{ConnectionCount} connections did not end within {Seconds} s of the stop and were cut.")]
    public static partial void ConnectionsCutAtStop(ILogger logger, int connectionCount, double seconds);

    [LoggerMessage(2003, LogLevel.Error, "The broker could not close its data directory cleanly; the next start recovers it as after a crash.")]
    public static partial void UncleanClose(ILogger logger, Exception? exception);

    [LoggerMessage(2100, LogLevel.Debug, "{Remote} connected.")]
    public static partial void ConnectionOpened(ILogger logger, string remote);

    [LoggerMessage(2101, LogLevel.Debug, "{Remote} is closed.")]
    public static partial void ConnectionEnded(ILogger logger, string remote);

    [LoggerMessage(2102, LogLevel.Warning, "Closed the connection of {Remote}: {Fault}.")]
    public static partial void ConnectionClosedForFault(ILogger logger, string remote, string fault);

    [LoggerMessage(2103, LogLevel.Warning, "Closed the connection of {Remote} after its {Api} request of version {Version}: {Reason}.")]
    public static partial void ConnectionClosedByApi(ILogger logger, string remote, ApiKey api, short version, string reason);

    [LoggerMessage(2104, LogLevel.Warning, "Closed the connection of {Remote}: it asks for API key {ApiKey} version {Version}, and this broker has no such API.")]
    public static partial void UnknownApi(ILogger logger, string remote, short apiKey, short version);

    [LoggerMessage(2105, LogLevel.Warning, "Closed the connection of {Remote}: it asks for {Api} version {Version}; this broker speaks {MinVersion} to {MaxVersion}.")]
    public static partial void UnsupportedVersion(ILogger logger, string remote, ApiKey api, short version, short minVersion, short maxVersion);

    [LoggerMessage(2106, LogLevel.Error, "{Api} version {Version} from {Remote} failed inside the broker; its connection is closed. This is a bug: please report it with this trace.")]
    public static partial void RequestFailed(ILogger logger, Exception exception, ApiKey api, short version, string remote);

    [LoggerMessage(2107, LogLevel.Error, "The connection of {Remote} failed inside the broker. This is a bug: please report it with this trace.")]
    public static partial void ConnectionFailed(ILogger logger, Exception exception, string remote);

    [LoggerMessage(2108, LogLevel.Warning, "Refused a connection of {Remote}: {ConnectionCount} are open, and {Setting} allows {Limit}.")]
    public static partial void ConnectionRefused(ILogger logger, string remote, int connectionCount, string setting, int limit);

    [LoggerMessage(2109, LogLevel.Information, "Closed the connection of {Remote}: nothing came or went for {IdleTime} (connections.max.idle.ms).")]
    public static partial void ConnectionIdle(ILogger logger, string remote, TimeSpan idleTime);

    [LoggerMessage(2110, LogLevel.Error, "Cannot accept connections on {EndPoint}: {Error}. Trying again in {Seconds} s.")]
    public static partial void AcceptFailed(ILogger logger, IPEndPoint endPoint, string error, double seconds);

    [LoggerMessage(2111, LogLevel.Debug, "{Remote} has logged in as '{User}'.")]
    public static partial void LoggedIn(ILogger logger, string remote, string user);

    [LoggerMessage(2112, LogLevel.Warning, "The login of {Remote} failed: {Fault}.")]
    public static partial void LoginFailed(ILogger logger, string remote, string fault);

    [LoggerMessage(2113, LogLevel.Warning, "Closed the connection of {Remote}: it has not shown who it is within {Timeout}.")]
    public static partial void NotAuthenticated(ILogger logger, string remote, TimeSpan timeout);

    [LoggerMessage(2114, LogLevel.Error, "The users file {Path} cannot be read, and the users that it had before still count: {Fault}. Mend it with 'millrace user'.")]
    public static partial void UsersNotRead(ILogger logger, string path, string fault);

    [LoggerMessage(2115, LogLevel.Warning, "Closed the connection of {Remote}: for {StallTime} its request did not arrive, and others wait for the memory that it holds (queued.max.request.bytes).")]
    public static partial void ConnectionStalled(ILogger logger, string remote, TimeSpan stallTime);

    [LoggerMessage(2200, LogLevel.Information, "Created topic {Topic} with {PartitionCount} partitions, id {TopicId}.")]
    public static partial void TopicCreated(ILogger logger, string topic, int partitionCount, Guid topicId);

    [LoggerMessage(2201, LogLevel.Warning, "Finished the creation of topic {Topic} with {PartitionCount} partitions, which a crash had cut short.")]
    public static partial void TopicCreationFinished(ILogger logger, string topic, int partitionCount);

    [LoggerMessage(2202, LogLevel.Error, "Partition {Partition} has no directory, though others of its topic have: it is not served. Put its directory back into the data directory and start again.")]
    public static partial void PartitionMissing(ILogger logger, TopicPartition partition);

    [LoggerMessage(2203, LogLevel.Error, "Topic {Topic} cannot be created.")]
    public static partial void TopicCreationFailed(ILogger logger, Exception exception, string topic);

    [LoggerMessage(2204, LogLevel.Error, "{Api} on {Partition} failed inside the broker. This is a bug: please report it with this trace.")]
    public static partial void PartitionRequestFailed(ILogger logger, Exception exception, ApiKey api, TopicPartition partition);

    [LoggerMessage(2205, LogLevel.Error, "Partition {Partition} is offline: {Reason}")]
    public static partial void PartitionOffline(ILogger logger, TopicPartition partition, string reason);

    [LoggerMessage(2206, LogLevel.Information, "Topic {Topic} has {PartitionCount} partitions now, {Before} before.")]
    public static partial void PartitionsAdded(ILogger logger, string topic, int before, int partitionCount);

    [LoggerMessage(2207, LogLevel.Information, "Deleted topic {Topic} with {PartitionCount} partitions, id {TopicId}.")]
    public static partial void TopicDeleted(ILogger logger, string topic, int partitionCount, Guid topicId);

    [LoggerMessage(2208, LogLevel.Error, "Topic {Topic} cannot be deleted.")]
    public static partial void TopicDeletionFailed(ILogger logger, Exception exception, string topic);

    [LoggerMessage(2209, LogLevel.Warning, "Finished the deletion of topic {Topic}, which was cut short.")]
    public static partial void TopicDeletionFinished(ILogger logger, string topic);

    [LoggerMessage(2210, LogLevel.Information, "Changed the settings of topic {Topic}: {Settings}.")]
    public static partial void TopicSettingsChanged(ILogger logger, string topic, string settings);

    [LoggerMessage(2211, LogLevel.Error, "The settings of topic {Topic} cannot be written; they are the old ones.")]
    public static partial void TopicSettingsNotChanged(ILogger logger, Exception exception, string topic);

    [LoggerMessage(2212, LogLevel.Error, "Records of {Partition} were not deleted: {Reason}")]
    public static partial void RecordsNotDeleted(ILogger logger, TopicPartition partition, string reason);

    [LoggerMessage(2213, LogLevel.Error, "Topic {Topic} lacks partition 0, and {Partition}, which would tell whether its creation was cut short, cannot be read. Nothing is written to the topic until that partition is back.")]
    public static partial void TopicUndecided(ILogger logger, string topic, TopicPartition partition);

    [LoggerMessage(2214, LogLevel.Error, "The creation of topic {Topic}, which a crash had cut short, cannot be finished. It is tried again after {Delay}.")]
    public static partial void TopicCreationNotFinished(ILogger logger, Exception exception, string topic, TimeSpan delay);

    [LoggerMessage(2300, LogLevel.Information, "Group {GroupId}: generation {Generation} is stable with {MemberCount} members.")]
    public static partial void GroupStable(ILogger logger, string groupId, int generation, int memberCount);

    [LoggerMessage(2301, LogLevel.Information, "Group {GroupId} is empty, at generation {Generation}.")]
    public static partial void GroupEmpty(ILogger logger, string groupId, int generation);

    [LoggerMessage(2302, LogLevel.Information, "Group {GroupId}: took out member {MemberId}, {Reason}.")]
    public static partial void MemberTakenOut(ILogger logger, string groupId, string memberId, string reason);

    [LoggerMessage(2303, LogLevel.Debug, "Group {GroupId}: {Note} in generation {Generation} with {MemberCount} members.")]
    public static partial void GroupNoted(ILogger logger, string groupId, GroupNote note, int generation, int memberCount);

    [LoggerMessage(2304, LogLevel.Warning, "Group {GroupId}: generation {Generation} could not be written to __consumer_offsets ({Error}).")]
    public static partial void GroupNotWritten(ILogger logger, string groupId, int generation, ErrorCode error);

    [LoggerMessage(2305, LogLevel.Information, "Group {GroupId} was deleted, with everything that it had committed.")]
    public static partial void GroupDeleted(ILogger logger, string groupId);

    [LoggerMessage(2306, LogLevel.Information, "Group {GroupId}: {OffsetCount} committed offsets have expired (offsets.retention.minutes).")]
    public static partial void OffsetsExpired(ILogger logger, string groupId, int offsetCount);

    [LoggerMessage(2310, LogLevel.Information, "Read __consumer_offsets: {GroupCount} groups, {OffsetGroupCount} with committed offsets.")]
    public static partial void OffsetsReplayed(ILogger logger, int groupCount, int offsetGroupCount);

    [LoggerMessage(2311, LogLevel.Error, "Nothing that {Partition} knows is served: offset {Offset} cannot be read, {Fault}. Restore the partition from a copy, or move its directory away: then its groups start without committed offsets, and its transactional ids anew.")]
    public static partial void CoordinatorPartitionUnavailable(ILogger logger, TopicPartition partition, long offset, string fault);

    [LoggerMessage(2312, LogLevel.Warning, "Skipped {RecordCount} records of {Topic} of kinds that this broker does not know; a newer broker wrote them.")]
    public static partial void ForeignOffsetsRecords(ILogger logger, string topic, long recordCount);

    [LoggerMessage(2313, LogLevel.Error, "The topic {Topic} cannot be created, so that nothing is served that is kept in it: {Reason}")]
    public static partial void CoordinatorTopicNotCreated(ILogger logger, string topic, string reason);

    [LoggerMessage(2314, LogLevel.Warning, "Group {GroupId} had committed offset {Committed} of {Partition}, whose log has come back with its end at {LogEnd}: it goes on from there. The records between were not acknowledged with acks=all.")]
    public static partial void CommittedOffsetSetBack(ILogger logger, string groupId, TopicPartition partition, long committed, long logEnd);

    [LoggerMessage(2315, LogLevel.Warning, "Read {Partition} again, which was offline, up to offset {LogEnd}: what is kept in it is served from here on.")]
    public static partial void CoordinatorPartitionReloaded(ILogger logger, TopicPartition partition, long logEnd);

    [LoggerMessage(2316, LogLevel.Error, "What follows from the return of {Partition} could not be done: its transactions stay open, or its groups are not served, until the broker starts again.")]
    public static partial void ReturnFailed(ILogger logger, Exception bug, TopicPartition partition);

    [LoggerMessage(2317, LogLevel.Error, "A coordinator failed at {What}. Who waited for it is told to try again. This is a bug: please report it with this trace.")]
    public static partial void CoordinatorFailed(ILogger logger, Exception bug, string what);

    [LoggerMessage(2320, LogLevel.Information, "Reserved producer ids {First} to {Last}.")]
    public static partial void ProducerIdsReserved(ILogger logger, long first, long last);

    [LoggerMessage(2321, LogLevel.Error, "No producer id can be given out: {Path} cannot be written.")]
    public static partial void ProducerIdsNotReserved(ILogger logger, Exception exception, string path);

    [LoggerMessage(2400, LogLevel.Information, "Read __transaction_state: {IdCount} transactional ids. Wrote {MarkerCount} markers that were missing; shut out the producers of {FencedCount} ids, of which records may be lost.")]
    public static partial void TransactionsReplayed(ILogger logger, int idCount, int markerCount, int fencedCount);

    [LoggerMessage(2401, LogLevel.Information, "Aborting the transaction of {TransactionalId} (producer {ProducerId}, epoch {ProducerEpoch}), whose client did not end it: {Reason}.")]
    public static partial void TransactionGivenUp(ILogger logger, string transactionalId, long producerId, short producerEpoch, GiveUpReason reason);

    [LoggerMessage(2402, LogLevel.Error, "A transaction of {TransactionalId} cannot be ended: what it wrote to {Partition} is not on the disk. {Reason}")]
    public static partial void TransactionBarrierFailed(ILogger logger, string transactionalId, TopicPartition partition, string reason);

    [LoggerMessage(2403, LogLevel.Error, "A transaction of producer {ProducerId}, epoch {ProducerEpoch}, stays open in {Partition}: its end cannot be written there. Consumers of committed records do not get beyond it.")]
    public static partial void TransactionNotEnded(ILogger logger, TopicPartition partition, long producerId, short producerEpoch);

    [LoggerMessage(2404, LogLevel.Information, "WriteTxnMarkers: the transaction of producer {ProducerId}, epoch {ProducerEpoch}, is {Outcome} in {Partition}, whatever its coordinator knows of it.")]
    public static partial void MarkerWrittenByRequest(ILogger logger, TopicPartition partition, long producerId, short producerEpoch, string outcome);

    [LoggerMessage(2405, LogLevel.Warning, "WriteTxnMarkers: a marker of producer {ProducerId}, epoch {ProducerEpoch}, was not written to {Partition}. {Reason}")]
    public static partial void MarkerRefused(ILogger logger, TopicPartition partition, long producerId, short producerEpoch, string reason);
}
