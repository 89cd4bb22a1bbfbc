using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace;

internal static partial class LogMessages
{
    [LoggerMessage(4000, LogLevel.Information, "{Application} is connected to {Log}; {EndpointCount} endpoints.")]
    public static partial void Connected(ILogger logger, string application, string log, int endpointCount);

    [LoggerMessage(4001, LogLevel.Information, "Created the topic {Topic} with {PartitionCount} partitions.")]
    public static partial void TopicCreated(ILogger logger, string topic, int partitionCount);

    [LoggerMessage(4002, LogLevel.Error, "The host stops, and {Step} failed. The rest is stopped all the same.")]
    public static partial void StopFailed(ILogger logger, Exception failure, string step);

    [LoggerMessage(4003, LogLevel.Warning, "No broker of {Log} answers yet. The host waits for up to {Timeout} from its start.")]
    public static partial void LogNotThereYet(ILogger logger, string log, TimeSpan timeout);

    [LoggerMessage(4004, LogLevel.Warning, "The topic {Topic} shall have {ReplicationFactor} copies; brokers that are up: {BrokerCount}. It is tried again for up to {Patience}.")]
    public static partial void TooFewBrokers(ILogger logger, string topic, short replicationFactor, int brokerCount, TimeSpan patience);

    [LoggerMessage(4005, LogLevel.Information, "Nobody knows whether the topic {Topic} keeps its records, since its settings cannot be looked at: {Problem} It has to have cleanup.policy=compact.")]
    public static partial void SettingsUnknown(ILogger logger, string topic, string problem);

    [LoggerMessage(4100, LogLevel.Information, "The endpoint '{Endpoint}' handles {Topics}, up to {MaxConcurrency} messages at once.")]
    public static partial void EndpointStarted(ILogger logger, string endpoint, string topics, int maxConcurrency);

    [LoggerMessage(4101, LogLevel.Information, "The endpoint '{Endpoint}' has stopped.")]
    public static partial void EndpointStopped(ILogger logger, string endpoint);

    [LoggerMessage(4102, LogLevel.Information, "The endpoint '{Endpoint}' now owns {PartitionCount} partitions.")]
    public static partial void Assigned(ILogger logger, string endpoint, int partitionCount);

    [LoggerMessage(4103, LogLevel.Information, "The endpoint '{Endpoint}' gave up {PartitionCount} partitions.")]
    public static partial void Revoked(ILogger logger, string endpoint, int partitionCount);

    [LoggerMessage(4104, LogLevel.Warning, "The endpoint '{Endpoint}' lost {PartitionCount} partitions: the group did not hear of it in time. What was under way there is handled again by the next owner.")]
    public static partial void Lost(ILogger logger, string endpoint, int partitionCount);

    [LoggerMessage(4105, LogLevel.Error, "The endpoint '{Endpoint}' cannot read from the log: {Problem} Failure {FailureCount}; what failed is tried again in {Delay}, the rest goes on.")]
    public static partial void PollFailed(ILogger logger, Exception failure, string endpoint, string problem, int failureCount, TimeSpan delay);

    [LoggerMessage(4106, LogLevel.Debug, "The endpoint '{Endpoint}' pauses {Partition}: enough of its messages are in memory.")]
    public static partial void Paused(ILogger logger, string endpoint, TopicPartition partition);

    [LoggerMessage(4107, LogLevel.Debug, "The endpoint '{Endpoint}' resumes {Partition}.")]
    public static partial void Resumed(ILogger logger, string endpoint, TopicPartition partition);

    [LoggerMessage(4108, LogLevel.Warning, "The endpoint '{Endpoint}' leaves {HandlerCount} handlers running that did not end in time. Their messages are handled again by the next owner; let handlers end when their token is cancelled.")]
    public static partial void HandlersLeftRunning(ILogger logger, string endpoint, int handlerCount);

    [LoggerMessage(4109, LogLevel.Error, "A callback that a handler of the endpoint '{Endpoint}' registered on its token failed.")]
    public static partial void CancellationFailed(ILogger logger, Exception failure, string endpoint);

    [LoggerMessage(4110, LogLevel.Critical, "A worker of the endpoint '{Endpoint}' failed inside Millrace. This is a bug: please report it with this trace.")]
    public static partial void WorkerFailed(ILogger logger, Exception failure, string endpoint);

    [LoggerMessage(4111, LogLevel.Trace, "A poll of the endpoint '{Endpoint}' ended by itself before a rebalance could interrupt it.")]
    public static partial void PollEndedByItself(ILogger logger, string endpoint);

    [LoggerMessage(4112, LogLevel.Error, "The endpoint '{Endpoint}' cannot prepare {Partition}: {Problem} Attempt {Attempt}; it is tried again in {Delay}, and nothing of the partition is handled before.")]
    public static partial void OpenFailed(
        ILogger logger, Exception failure, string endpoint, TopicPartition partition, string problem, int attempt, TimeSpan delay);

    [LoggerMessage(4113, LogLevel.Error, "The processor '{Processor}' failed to let go of {Partition}.")]
    public static partial void ReleaseFailed(ILogger logger, Exception failure, string processor, TopicPartition partition);

    [LoggerMessage(4114, LogLevel.Error, "The endpoint '{Endpoint}' handles nothing, since its consumer has ended for good: {Problem} Failure {FailureCount}; it joins its group anew in {Delay}.")]
    public static partial void ConsumerDead(ILogger logger, string endpoint, string problem, int failureCount, TimeSpan delay);

    [LoggerMessage(4115, LogLevel.Debug, "The endpoint '{Endpoint}' does not read {Partition} again: {Problem}")]
    public static partial void NotSought(ILogger logger, string endpoint, TopicPartition partition, string problem);

    [LoggerMessage(4116, LogLevel.Critical, "An attempt of the endpoint '{Endpoint}' at {Partition} @ {Offset} ended without an outcome ({ErrorType}). A logger, a listener of traces or metrics, or an exception that cannot be printed may be the cause. It is tried again in {Delay}, unless the endpoint delivers at most once.")]
    public static partial void AttemptWithoutOutcome(
        ILogger logger, Exception failure, string endpoint, TopicPartition partition, long offset, Type errorType, TimeSpan delay);

    [LoggerMessage(4117, LogLevel.Information, "The endpoint '{Endpoint}' does not begin with {Partition} while its group is rebalancing: {Problem}")]
    public static partial void OpenWaits(ILogger logger, string endpoint, TopicPartition partition, string problem);

    [LoggerMessage(4200, LogLevel.Debug, "A commit of the endpoint '{Endpoint}' was cut short because it stops.")]
    public static partial void CommitCancelled(ILogger logger, string endpoint);

    [LoggerMessage(4201, LogLevel.Information, "A commit of the endpoint '{Endpoint}' was refused, since its group is rebalancing: {Problem}")]
    public static partial void CommitFenced(ILogger logger, string endpoint, string problem);

    [LoggerMessage(4202, LogLevel.Warning, "A commit of the endpoint '{Endpoint}' failed and is tried again: {Problem}")]
    public static partial void CommitFailed(ILogger logger, Exception failure, string endpoint, string problem);

    [LoggerMessage(4300, LogLevel.Warning, "{Type} {MessageId} failed at the endpoint '{Endpoint}' ({Partition} @ {Offset}), attempt {Attempt}. It is tried again in {Delay}; its key waits, others go on.")]
    public static partial void WillRetry(
        ILogger logger, Exception failure, string? type, string messageId, string endpoint, TopicPartition partition, long offset, int attempt, TimeSpan delay);

    [LoggerMessage(4301, LogLevel.Error, "{Type} {MessageId} failed at the endpoint '{Endpoint}' ({Partition} @ {Offset}), attempt {Attempt}, and is given up as a dead letter in {Topic}; its key goes on. {Problem}")]
    public static partial void DeadLettered(
        ILogger logger, Exception failure, string? type, string messageId, string endpoint, TopicPartition partition, long offset, int attempt,
        string topic, string problem);

    [LoggerMessage(4302, LogLevel.Error, "{Type} {MessageId} failed at the endpoint '{Endpoint}' ({Partition} @ {Offset}) and is given up: the endpoint delivers at most once.")]
    public static partial void GivenUp(
        ILogger logger, Exception failure, string? type, string messageId, string endpoint, TopicPartition partition, long offset);

    [LoggerMessage(4303, LogLevel.Debug, "The endpoint '{Endpoint}' abandoned {Partition} @ {Offset}: its partition leaves.")]
    public static partial void Abandoned(ILogger logger, string endpoint, TopicPartition partition, long offset);

    [LoggerMessage(4304, LogLevel.Information, "{Type} {MessageId} was refused by the endpoint '{Endpoint}': {Reason}.")]
    public static partial void Refused(ILogger logger, string type, string messageId, string endpoint, string reason);

    [LoggerMessage(4305, LogLevel.Warning, "The endpoint '{Endpoint}' skipped {Partition} @ {Offset}: it has no ce_type header, so it is no event of this application.")]
    public static partial void UntypedSkipped(ILogger logger, string endpoint, TopicPartition partition, long offset);

    [LoggerMessage(4306, LogLevel.Error, "The processor '{Processor}' failed at {Partition} @ {Offset}: {Problem} Attempt {Attempt}; it is tried again in {Delay}, and its key waits.")]
    public static partial void ProcessorFailed(
        ILogger logger, Exception failure, string processor, TopicPartition partition, long offset, string problem, int attempt, TimeSpan delay);

    [LoggerMessage(4307, LogLevel.Warning, "{Type} {MessageId} of the endpoint '{Endpoint}' ({Partition} @ {Offset}) is not done yet: {What} cannot be written: {Problem} It is written again in {Delay}; the handler does not run again meanwhile.")]
    public static partial void WriteWillRetry(
        ILogger logger, Exception failure, string? type, string messageId, string endpoint, TopicPartition partition, long offset, string what,
        string problem, TimeSpan delay);

    [LoggerMessage(4308, LogLevel.Warning, "{Type} {MessageId} asks the endpoint '{Endpoint}' for a reply on '{Topic}', which is no topic for replies. It gets none; correct its writer.")]
    public static partial void ReplyImpossible(ILogger logger, string? type, string messageId, string endpoint, string topic);
}
