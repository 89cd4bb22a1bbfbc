using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.Json;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Traces and metrics by OpenTelemetry's conventions for messaging, and by its style where they name nothing; the names of both sources are <c>Millrace.Kafka</c>. While nobody listens, nothing
/// here allocates. Where a listener throws, nothing of what is told changes for that.
/// </summary>
internal static class Diagnostics
{
    public const string SourceName = "Millrace.Kafka";

    /// <summary>As many links as OpenTelemetry keeps of a span by default.</summary>
    public const int MaxLinkCount = 128;

    private static readonly ActivitySource Activities = new(SourceName);

    private static readonly Meter Meter = new(SourceName);

    /// <summary>What OpenTelemetry advises for durations of messaging operations, in seconds.</summary>
    private static readonly InstrumentAdvice<double> Durations = new()
    {
        HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    };

    /// <summary>Records that were acknowledged, or that failed (<c>error.type</c>).</summary>
    public static readonly QuietInstrument<long> SentMessages = new(Meter.CreateCounter<long>(
        "messaging.client.sent.messages", "{message}", "Records that the producer tried to send."));

    /// <summary>Records that were handed out.</summary>
    public static readonly QuietInstrument<long> ConsumedMessages = new(Meter.CreateCounter<long>(
        "messaging.client.consumed.messages", "{message}", "Records that the consumer handed to the application."));

    /// <summary>The time of a produce request, of a poll that brought records, or of a commit.</summary>
    public static readonly QuietInstrument<double> OperationDuration = new(Meter.CreateHistogram(
        "messaging.client.operation.duration", "s", "Time of a send, poll or commit.", tags: null, Durations));

    /// <summary>The time of any request to a broker, from the connection's line to the answer. With Fetch it is the latency of fetches.</summary>
    public static readonly QuietInstrument<double> RequestDuration = new(Meter.CreateHistogram(
        "kafka.client.request.duration", "s", "Time from a request to its answer, by broker and API.", tags: null, Durations));

    /// <summary>Requests that wait for their answer.</summary>
    public static readonly QuietInstrument<long> ActiveRequests = new(Meter.CreateUpDownCounter<long>(
        "kafka.client.active_requests", "{request}", "Requests in flight, by broker and API."));

    /// <summary>Connections that are open.</summary>
    public static readonly QuietInstrument<long> Connections = new(Meter.CreateUpDownCounter<long>(
        "kafka.client.connections", "{connection}", "Open connections, by broker."));

    /// <summary>Pauses that brokers asked for (KIP-219).</summary>
    public static readonly QuietInstrument<double> ThrottleDuration = new(Meter.CreateHistogram(
        "kafka.client.throttle.duration", "s", "Pauses that brokers asked for (throttle_time_ms), by broker and API.", tags: null, Durations));

    /// <summary>Bytes of records that are not acknowledged yet.</summary>
    public static readonly QuietInstrument<long> BufferUsage = new(Meter.CreateGauge<long>(
        "kafka.producer.buffer.usage", "By", "Bytes of records in the buffer, of buffer.memory."));

    /// <summary>Records that are not acknowledged yet.</summary>
    public static readonly QuietInstrument<long> BufferedRecords = new(Meter.CreateGauge<long>(
        "kafka.producer.buffer.records", "{record}", "Records in the buffer."));

    /// <summary>From the first record of a batch to its first departure.</summary>
    public static readonly QuietInstrument<double> QueueDuration = new(Meter.CreateHistogram(
        "kafka.producer.queue.duration", "s", "Time that a batch waited in the buffer before it was first sent.", tags: null, Durations));

    /// <summary>Bytes of a batch as it is sent.</summary>
    public static readonly QuietInstrument<long> BatchSize = new(Meter.CreateHistogram<long>(
        "kafka.producer.batch.size", "By", "Bytes of a batch when it was first sent, compressed."));

    /// <summary>Records of a batch as it is sent.</summary>
    public static readonly QuietInstrument<long> BatchRecords = new(Meter.CreateHistogram<long>(
        "kafka.producer.batch.records", "{record}", "Records of a batch when it was first sent."));

    /// <summary>Records that have to be sent once more.</summary>
    public static readonly QuietInstrument<long> Retries = new(Meter.CreateCounter<long>(
        "kafka.producer.retries", "{record}", "Records that are sent again, by what went wrong (error.type)."));

    /// <summary>Applications that took records and did not poll for <see cref="ConsumerOptions.MaxPollInterval"/>.</summary>
    public static readonly QuietInstrument<long> PollTimeouts = new(Meter.CreateCounter<long>(
        "millrace.kafka.consumer.poll_timeouts", "{timeout}", "Times that an application with records in hand did not poll within the interval that its options allow."));

    /// <summary>Records between the position and the end of the log, as of the latest answer to a fetch.</summary>
    public static readonly QuietInstrument<long> RecordsLag = new(Meter.CreateGauge<long>(
        "kafka.consumer.records_lag", "{record}", "Records that a partition holds behind the consumer's position."));

    /// <summary>Assignments that came in place.</summary>
    public static readonly QuietInstrument<long> Rebalances = new(Meter.CreateCounter<long>(
        "kafka.consumer.rebalances", "{rebalance}", "Rebalances that gave the member its assignment."));

    /// <summary>Whether spans have a listener; without one nothing of tracing is done.</summary>
    public static bool IsTracing => Activities.HasListeners();

    /// <summary>Whether somebody wants to know of sends, polls and commits.</summary>
    public static bool IsTellingOperations => IsTracing || OperationDuration.Enabled;

    /// <summary>The tags of an operation's metric.</summary>
    public static TagList Tags(string operation, string? topic, string clientId, string? errorType = null)
    {
        var tags = new TagList { { "messaging.system", "kafka" }, { "messaging.operation.name", operation } };
        Add(ref tags, "messaging.destination.name", topic);
        Add(ref tags, "messaging.client.id", clientId);
        Add(ref tags, "error.type", errorType);
        return tags;
    }

    /// <summary>The tags of a consumer's metric.</summary>
    public static TagList ConsumerTags(string operation, string? topic, string clientId, string? groupId, string? errorType = null)
    {
        TagList tags = Tags(operation, topic, clientId, errorType);
        Add(ref tags, "messaging.consumer.group.name", groupId);
        return tags;
    }

    /// <summary>The tags of a connection's metric; of a request's, with its API.</summary>
    public static TagList BrokerTags(BrokerAddress address, ApiKey? api = null)
    {
        var tags = new TagList { { "messaging.system", "kafka" }, { "server.address", address.Host }, { "server.port", address.Port } };
        Add(ref tags, "kafka.api", api?.ToString());
        return tags;
    }

    /// <summary>The class of an error: Kafka's own name for it where a broker answered with one, otherwise the exception's.</summary>
    public static string ErrorType(Exception failure) =>
        failure is KafkaException { ErrorCode: not ErrorCode.None } kafka ? ErrorType(kafka.ErrorCode) : failure.GetType().FullName!;

    public static string ErrorType(ErrorCode error) => JsonNamingPolicy.SnakeCaseUpper.ConvertName(error.ToString());

    /// <summary>A record passes from the application to the producer. The span is over at once; its context travels with the record.</summary>
    public static Activity? StartCreate(string topic, string clientId)
    {
        Activity? activity = QuietActivities.Begin(topic, static topic => Activities.StartActivity($"create {topic}", ActivityKind.Producer));
        SetTags(activity, "create", "create", topic, clientId);
        return activity;
    }

    /// <summary>One produce request. A root: what the records belong to is linked, and nothing is its parent that happened to be current when the producer was made.</summary>
    public static Activity? StartSend(BrokerAddress address, string clientId, IReadOnlyCollection<ProducerBatch> batches)
    {
        if (!IsTracing)
        {
            return null;
        }

        string? topic = Single(batches.Select(batch => batch.Partition.Topic));
        ActivityLink[] links = [.. batches.SelectMany(batch => batch.Links).Take(MaxLinkCount)];
        Activity.Current = null;
        Activity? activity = QuietActivities.Begin(
            (Name: topic is null ? "send" : $"send {topic}", Links: links),
            static send => Activities.StartActivity(send.Name, ActivityKind.Client, parentContext: default, links: send.Links));
        SetTags(activity, "send", "send", topic, clientId);
        SetBroker(activity, address);
        activity?.SetTag("messaging.batch.message_count", batches.Sum(batch => batch.RecordCount));
        if (batches.Count == 1)
        {
            activity?.SetTag("messaging.destination.partition.id", Text(batches.First().Partition.Partition));
        }

        return activity;
    }

    /// <summary>A poll that brought records, which began a while ago.</summary>
    public static void TellPoll(DateTimeOffset start, DateTimeOffset end, string clientId, string? groupId, IReadOnlyCollection<TopicPartition> partitions, int recordCount, List<ActivityLink> links)
    {
        string? topic = Single(partitions.Select(partition => partition.Topic));
        Activity? activity = QuietActivities.Begin(
            (Name: topic is null ? "poll" : $"poll {topic}", Links: links, Start: start),
            static poll => Activities.StartActivity(poll.Name, ActivityKind.Client, parentContext: default, links: poll.Links, startTime: poll.Start));
        using Ending ending = activity.Ending();
        SetTags(activity, "poll", "receive", topic, clientId);
        SetGroup(activity, groupId);
        activity?.SetTag("messaging.batch.message_count", recordCount);
        if (partitions.Count == 1)
        {
            activity?.SetTag("messaging.destination.partition.id", Text(partitions.First().Partition));
        }

        activity?.SetEndTime(end.UtcDateTime);
    }

    /// <summary>One commit, with its retries.</summary>
    public static Activity? StartCommit(string clientId, string? groupId, IReadOnlyCollection<TopicPartitionOffset> offsets)
    {
        if (!IsTracing)
        {
            return null;
        }

        string? topic = Single(offsets.Select(offset => offset.TopicPartition.Topic));
        Activity? activity = QuietActivities.Begin(topic, static topic => Activities.StartActivity(topic is null ? "commit" : $"commit {topic}", ActivityKind.Client));
        SetTags(activity, "commit", "settle", topic, clientId);
        SetGroup(activity, groupId);
        if (offsets.Count == 1)
        {
            TopicPartitionOffset only = offsets.First();
            activity?.SetTag("messaging.destination.partition.id", Text(only.TopicPartition.Partition));
            SetOffset(activity, only.Offset);
        }

        return activity;
    }

    public static void SetOffset(Activity? activity, Offset offset) => activity?.SetTag("messaging.kafka.offset", offset.Value);

    /// <summary>An operation has failed.</summary>
    /// <returns>The class of the error.</returns>
    public static string SetFailed(Activity? activity, Exception failure)
    {
        string errorType = ErrorType(failure);
        activity?.SetStatus(ActivityStatusCode.Error, failure.Message);
        activity?.SetTag("error.type", errorType);
        return errorType;
    }

    /// <summary>Digits, as the conventions want the number of a partition.</summary>
    public static string Text(int partition) => partition.ToString(CultureInfo.InvariantCulture);

    private static void SetTags(Activity? activity, string operation, string operationType, string? topic, string clientId)
    {
        if (activity is not { IsAllDataRequested: true })
        {
            return;
        }

        activity.SetTag("messaging.system", "kafka");
        activity.SetTag("messaging.operation.name", operation);
        activity.SetTag("messaging.operation.type", operationType);
        activity.SetTag("messaging.destination.name", topic);
        activity.SetTag("messaging.client.id", clientId);
    }

    private static void SetBroker(Activity? activity, BrokerAddress address)
    {
        activity?.SetTag("server.address", address.Host);
        activity?.SetTag("server.port", address.Port);
    }

    private static void SetGroup(Activity? activity, string? groupId) => activity?.SetTag("messaging.consumer.group.name", groupId);

    private static void Add(ref TagList tags, string name, string? value)
    {
        if (!string.IsNullOrEmpty(value))
        {
            tags.Add(name, value);
        }
    }

    /// <summary>What all have in common, if they do.</summary>
    public static string? Single(IEnumerable<string> names)
    {
        string? single = null;
        foreach (string name in names)
        {
            if (single is not null && single != name)
            {
                return null;
            }

            single = name;
        }

        return single;
    }
}
