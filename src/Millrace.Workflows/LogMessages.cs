using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace;

internal static partial class LogMessages
{
    [LoggerMessage(5000, LogLevel.Information, "Saga {Saga}: resumed {InstanceCount} open instances of {Partition}.")]
    public static partial void Resumed(ILogger logger, string saga, int instanceCount, TopicPartition partition);

    [LoggerMessage(5001, LogLevel.Debug, "Saga {Saga}: instance '{Instance}' ended as {State}.")]
    public static partial void Ended(ILogger logger, string saga, string instance, SagaState state);

    [LoggerMessage(5002, LogLevel.Information, "Saga {Saga}: instance '{Instance}' compensates. {Reason}")]
    public static partial void Compensating(ILogger logger, string saga, string instance, string reason);

    [LoggerMessage(5003, LogLevel.Error, "Saga {Saga}: instance '{Instance}' needs attention. {Reason}")]
    public static partial void NeedsAttention(ILogger logger, string saga, string instance, string? reason);

    [LoggerMessage(5004, LogLevel.Warning, "Saga {Saga}: message '{MessageId}' ({Partition}, offset {Offset}) is ignored: {Why}.")]
    public static partial void Ignored(ILogger logger, string saga, string messageId, TopicPartition partition, long offset, string why);

    [LoggerMessage(5005, LogLevel.Information, "Saga {Saga}: {Count} records of {Partition} do not count, since another process had taken it over before they were written.")]
    public static partial void LateRecords(ILogger logger, string saga, int count, TopicPartition partition);
}
