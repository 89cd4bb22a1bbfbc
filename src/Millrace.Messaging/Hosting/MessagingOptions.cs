using System.Text.Json;

namespace Millrace;

/// <summary>What holds for all messages of the application. Checked and copied when the host starts.</summary>
public sealed class MessagingOptions
{
    /// <summary>
    /// The application's name, which stands in every message as its <c>ce_source</c>. Default: the host's application name.
    /// </summary>
    public string? ApplicationName { get; set; }

    /// <summary>
    /// How many partitions a topic gets that does not exist yet: the most instances of the application that can share the
    /// work of one endpoint on it. Topics that exist keep theirs. Growing a topic later moves keys to other partitions, so
    /// start with what may be needed. Default: 8. From 1 to 1,000.
    /// </summary>
    public int TopicPartitionCount { get; set; } = 8;

    /// <summary>
    /// Put before the name of every topic and consumer group of the application, so that several copies of it (<c>test.</c>,
    /// <c>staging.</c>) live on one cluster without meeting. Applications that exchange messages have the same prefix. Default: empty.
    /// </summary>
    public string TopicPrefix { get; set; } = "";

    /// <summary>How bodies are written and read. Default: System.Text.Json's web defaults (camel case, case-insensitive).</summary>
    public JsonSerializerOptions Json { get; set; } = new(JsonSerializerDefaults.Web);

    /// <summary>
    /// The least time between two commits of an endpoint: what a crash may have to handle again. Default: 100 ms. From
    /// 1 ms to 1 minute.
    /// </summary>
    public TimeSpan CommitInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// How long running handlers may take to end when the host stops, or when their partition moves to another instance
    /// (then with their token cancelled from the start). What has not ended is handled again by the next owner. Keep it
    /// under the host's own shutdown time-out. Default: 10 s. From 0 to 5 minutes.
    /// </summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Kafka: <c>session.timeout.ms</c>. A process that the log has not heard of for this long is dead, and others take over what it worked
    /// on: most of the time that a failover takes. Brokers take from 6 s on, unless they are set otherwise. Default: 45 s, as Kafka. From
    /// 10 ms to 30 minutes.
    /// </summary>
    public TimeSpan SessionTimeout { get; set; } = TimeSpan.FromSeconds(45);

    /// <summary>
    /// Kafka: <c>heartbeat.interval.ms</c>. How often a process says that it is alive, and learns that its endpoints' partitions are shared
    /// out anew. Default: 3 s, as Kafka. At most a third of <see cref="SessionTimeout"/>.
    /// </summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// The messages of one partition that an endpoint holds in memory, running ones included, before it stops fetching
    /// more. Default: 1,000. From 1 to 1,000,000.
    /// </summary>
    public int MaxQueuedMessages { get; set; } = 1_000;

    /// <summary>
    /// How many messages of one partition may be fetched beyond the oldest that is not done: how far other keys run ahead
    /// of one that fails, and how many are handled again after a crash meanwhile. Default: 16,384. At least
    /// <see cref="MaxQueuedMessages"/>, at most 1,000,000.
    /// </summary>
    public int MaxWindowMessages { get; set; } = 16_384;

    /// <summary>
    /// How often a failed message is tried again before it is a dead letter, where <see cref="EndpointBuilder.Failures"/> says
    /// nothing else. Default: 10, which with the default pauses is about two minutes: enough for a database to restart.
    /// From 0 to 1,000.
    /// </summary>
    public int MaxRetries { get; set; } = 10;

    /// <summary>The pause before a failed message is tried again; it doubles with each failure. Default: 200 ms. From 1 ms.</summary>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The longest pause between two attempts. Default: 30 s. At least <see cref="RetryDelay"/>, at most 1 day.</summary>
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The seed of what is left to chance: message ids and the jitter of retries. Default null: a different one in every process.</summary>
    public int? RandomSeed { get; set; }

    /// <summary>
    /// The clock of what waits for other programs: connections, requests, group sessions, the pauses between commits, the stop.
    /// Everything that the application means by time (retries, the times of messages) follows the <see cref="TimeProvider"/>
    /// among its services, which a test may replace by one that stands still; a session with a broker cannot stand still with
    /// it. Default: the system's clock.
    /// </summary>
    public TimeProvider InfrastructureTime { get; set; } = TimeProvider.System;
}

/// <summary>The options as the code reads them.</summary>
internal sealed record MessagingSettings(
    string ApplicationName,
    int TopicPartitionCount,
    string TopicPrefix,
    JsonSerializerOptions Json,
    TimeSpan CommitInterval,
    TimeSpan DrainTimeout,
    TimeSpan SessionTimeout,
    TimeSpan HeartbeatInterval,
    int MaxQueuedMessages,
    int MaxWindowMessages,
    int MaxRetries,
    TimeSpan RetryDelay,
    TimeSpan MaxRetryDelay,
    int? RandomSeed,
    TimeProvider InfrastructureTime)
{
    /// <summary>What stands in <c>ce_source</c>: a URI reference, as CloudEvents wants it.</summary>
    public string Source { get; } = Uri.EscapeDataString(ApplicationName);

    /// <summary>Copies the options; what is wrong with them goes to <paramref name="problems"/>.</summary>
    public static MessagingSettings Read(MessagingOptions options, string hostApplicationName, List<string> problems)
    {
        string name = options.ApplicationName ?? hostApplicationName;
        if (string.IsNullOrWhiteSpace(name))
            problems.Add("ApplicationName is empty. Set it with millrace.Configure(options => options.ApplicationName = \"...\").");
        if (options.InfrastructureTime is null) problems.Add("InfrastructureTime is null. Leave it as it is, or set a TimeProvider.");
        if (options.Json is null) problems.Add("Json is null. Leave it as it is, or set a JsonSerializerOptions.");
        CheckRange(nameof(options.TopicPartitionCount), options.TopicPartitionCount, 1, 1_000, problems);
        if (options.TopicPrefix is not "" && !TopicName.IsValid($"{options.TopicPrefix}x"))
            problems.Add($"TopicPrefix is '{options.TopicPrefix}'. It begins the names of topics. {TopicName.Rule}");
        CheckRange(nameof(options.SessionTimeout), options.SessionTimeout, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(30), problems);
        CheckRange(nameof(options.HeartbeatInterval), options.HeartbeatInterval, TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(10), problems);
        if (options.HeartbeatInterval > options.SessionTimeout / 3)
            problems.Add($"HeartbeatInterval ({options.HeartbeatInterval}) is more than a third of SessionTimeout ({options.SessionTimeout}): one late heartbeat would end a session. Lower it.");
        CheckRange(nameof(options.CommitInterval), options.CommitInterval, TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(1), problems);
        CheckRange(nameof(options.DrainTimeout), options.DrainTimeout, TimeSpan.Zero, TimeSpan.FromMinutes(5), problems);
        CheckRange(nameof(options.MaxQueuedMessages), options.MaxQueuedMessages, 1, 1_000_000, problems);
        CheckRange(nameof(options.MaxWindowMessages), options.MaxWindowMessages, 1, 1_000_000, problems);
        CheckRange(nameof(options.MaxRetries), options.MaxRetries, 0, FailurePolicy.MaxRetryCount, problems);
        CheckRange(nameof(options.RetryDelay), options.RetryDelay, TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(1), problems);
        CheckRange(nameof(options.MaxRetryDelay), options.MaxRetryDelay, TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(1), problems);
        if (options.MaxWindowMessages < options.MaxQueuedMessages)
            problems.Add($"MaxWindowMessages ({options.MaxWindowMessages}) is below MaxQueuedMessages ({options.MaxQueuedMessages}). The window holds the queued messages too: raise it.");
        if (options.MaxRetryDelay < options.RetryDelay)
            problems.Add($"MaxRetryDelay ({options.MaxRetryDelay}) is below RetryDelay ({options.RetryDelay}). Raise it.");

        // A copy of the JSON options freezes at its first use; the caller's own stay as they are.
        return new MessagingSettings(
            name ?? "", options.TopicPartitionCount, options.TopicPrefix ?? "", new JsonSerializerOptions(options.Json ?? JsonSerializerOptions.Web),
            options.CommitInterval, options.DrainTimeout, options.SessionTimeout, options.HeartbeatInterval, options.MaxQueuedMessages, options.MaxWindowMessages, options.MaxRetries, options.RetryDelay, options.MaxRetryDelay, options.RandomSeed,
            options.InfrastructureTime ?? TimeProvider.System);
    }

    private static void CheckRange<T>(string name, T value, T minimum, T maximum, List<string> problems)
        where T : IComparable<T>
    {
        if (value.CompareTo(minimum) < 0 || value.CompareTo(maximum) > 0)
            problems.Add($"{name} is {value}. It goes from {minimum} to {maximum}.");
    }
}
