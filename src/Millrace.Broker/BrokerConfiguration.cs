using System.Net;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The validated, unchanging copy of <see cref="BrokerOptions"/> that the code reads.</summary>
internal sealed record BrokerConfiguration
{
    /// <summary>The id of the only node, which is its controller and every partition's leader.</summary>
    public const int NodeId = 1;

    public required string DataDirectory { get; init; }
    public required IReadOnlyList<ListenerConfiguration> Listeners { get; init; }
    public required SecurityConfiguration Security { get; init; }
    public required string? AdvertisedHost { get; init; }
    public required int? AdvertisedPort { get; init; }
    public required int DefaultPartitionCount { get; init; }
    public required bool AutoCreateTopics { get; init; }
    public required GroupSettings Groups { get; init; }
    public required TransactionSettings Transactions { get; init; }
    public required int MaxRequestByteCount { get; init; }
    public required long MaxQueuedRequestByteCount { get; init; }
    public required int MaxMessageByteCount { get; init; }
    public required TopicLogSettings TopicDefaults { get; init; }
    public required TimeSpan ProducerIdExpiration { get; init; }
    public required long CommitJournalByteCount { get; init; }
    public required int MaxFetchByteCount { get; init; }
    public required int MaxConnections { get; init; }
    public required int MaxConnectionsPerAddress { get; init; }
    public required TimeSpan MaxConnectionIdleTime { get; init; }
    public required int MaxInFlightRequests { get; init; }
    public required LogCleanerOptions Cleaner { get; init; }
    public required int MaxPartitionCount { get; init; }

    /// <summary>Checks the settings, those that depend on each other included, and copies them.</summary>
    /// <exception cref="BrokerStartException">A setting makes no sense; the message names each one that does not.</exception>
    public static BrokerConfiguration From(BrokerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        List<string> faults = Validate(options);
        List<ListenerConfiguration> listeners = ListenersOf(options, faults);
        var security = SecurityConfiguration.From(options, listeners, faults);
        if (faults.Count > 0)
        {
            throw new BrokerStartException(BrokerStartFailure.InvalidOptions, string.Join(' ', faults));
        }

        return new BrokerConfiguration
        {
            DataDirectory = options.DataDirectory,
            Listeners = listeners,
            Security = security,
            AdvertisedHost = options.AdvertisedHost,
            AdvertisedPort = options.AdvertisedPort,
            DefaultPartitionCount = options.DefaultPartitionCount,
            AutoCreateTopics = options.AutoCreateTopics,
            Groups = new GroupSettings
            {
                InitialRebalanceDelay = options.GroupInitialRebalanceDelay,
                MinSessionTimeout = options.GroupMinSessionTimeout,
                MaxSessionTimeout = options.GroupMaxSessionTimeout,
                MaxSize = options.GroupMaxSize,
                MaxOffsetMetadataLength = options.MaxOffsetMetadataLength,
                OffsetsTopicPartitionCount = options.OffsetsTopicPartitionCount,
                OffsetsRetention = options.OffsetsRetention,
                OffsetsRetentionCheckInterval = options.OffsetsRetentionCheckInterval,
            },
            Transactions = new TransactionSettings
            {
                MaxTimeout = options.TransactionMaxTimeout,
                IdExpiration = options.TransactionalIdExpiration,
                StateTopicPartitionCount = options.TransactionStateTopicPartitionCount,
            },
            MaxRequestByteCount = options.MaxRequestByteCount,
            MaxQueuedRequestByteCount = options.MaxQueuedRequestByteCount,
            MaxMessageByteCount = options.MaxMessageByteCount,
            TopicDefaults = options.TopicDefaults with { MaximumBatchByteCount = options.MaxMessageByteCount },
            ProducerIdExpiration = options.ProducerIdExpiration,
            CommitJournalByteCount = options.CommitJournalByteCount,
            MaxFetchByteCount = options.MaxFetchByteCount,
            MaxConnections = options.MaxConnections,
            MaxConnectionsPerAddress = options.MaxConnectionsPerAddress,
            MaxConnectionIdleTime = options.MaxConnectionIdleTime,
            MaxInFlightRequests = options.MaxInFlightRequests,
            Cleaner = options.Cleaner,
            MaxPartitionCount = options.MaxPartitionCount,
        };
    }

    private static List<ListenerConfiguration> ListenersOf(BrokerOptions options, List<string> faults)
    {
        List<ListenerConfiguration> listeners = [];
        if (options.Listen is { } plain)
        {
            listeners.Add(new ListenerConfiguration(ListenerProtocol.Plaintext, plain, options.AdvertisedHost, options.AdvertisedPort));
        }

        foreach (ListenerOptions listener in options.Listeners)
        {
            RequireAdvertisable(faults, $"{nameof(options.Listeners)} {listener.EndPoint}, ", listener.AdvertisedHost, listener.AdvertisedPort);
            listeners.Add(new ListenerConfiguration(listener.Protocol, listener.EndPoint, listener.AdvertisedHost, listener.AdvertisedPort));
        }

        foreach (IGrouping<IPEndPoint, ListenerConfiguration> twice in listeners.GroupBy(static listener => listener.EndPoint).Where(static same => same.Key.Port != 0 && same.Count() > 1))
        {
            faults.Add($"{twice.Key} is listened on {twice.Count()} times: give each listener a port of its own.");
        }

        return listeners;
    }

    private static void RequireAdvertisable(List<string> faults, string prefix, string? host, int? port)
    {
        if (host is not null && string.IsNullOrWhiteSpace(host))
        {
            faults.Add($"{prefix}AdvertisedHost is blank: give a host name that clients can resolve, or null.");
        }

        if (port is < 1 or > ushort.MaxValue)
        {
            faults.Add($"{prefix}AdvertisedPort is {port}: give a port from 1 to {ushort.MaxValue}, or null.");
        }
    }

    private static List<string> Validate(BrokerOptions options)
    {
        List<string> faults = [];
        if (string.IsNullOrWhiteSpace(options.DataDirectory))
        {
            faults.Add("DataDirectory is empty: name the directory that holds the broker's data.");
        }

        RequireAdvertisable(faults, "", options.AdvertisedHost, options.AdvertisedPort);

        RequireAtLeast(faults, nameof(options.DefaultPartitionCount), options.DefaultPartitionCount, 1);
        RequireAtLeast(faults, nameof(options.OffsetsTopicPartitionCount), options.OffsetsTopicPartitionCount, 1);
        RequireAtLeast(faults, nameof(options.MaxRequestByteCount), options.MaxRequestByteCount, 1024);
        RequireAtLeast(faults, nameof(options.MaxMessageByteCount), options.MaxMessageByteCount, 128);
        if (options.MaxQueuedRequestByteCount < 1)
        {
            faults.Add($"MaxQueuedRequestByteCount is {options.MaxQueuedRequestByteCount}: give at least 1.");
        }

        if (options.CommitJournalByteCount != 0 && options.CommitJournalByteCount < LogDirectoryOptions.LeastCommitJournalByteCount)
        {
            faults.Add($"CommitJournalByteCount is {options.CommitJournalByteCount}: give at least {LogDirectoryOptions.LeastCommitJournalByteCount}, or 0 for no journal.");
        }

        RequireAtLeast(faults, nameof(options.MaxFetchByteCount), options.MaxFetchByteCount, 1024);
        RequireAtLeast(faults, nameof(options.MaxConnections), options.MaxConnections, 1);
        RequireAtLeast(faults, nameof(options.MaxConnectionsPerAddress), options.MaxConnectionsPerAddress, 1);
        RequireAtLeast(faults, nameof(options.MaxInFlightRequests), options.MaxInFlightRequests, 1);
        RequireAtLeast(faults, nameof(options.MaxPartitionCount), options.MaxPartitionCount, 1);
        if (options.MaxConnectionIdleTime < TimeSpan.FromSeconds(1) || options.MaxConnectionIdleTime > TimeSpan.FromDays(24))
        {
            faults.Add($"MaxConnectionIdleTime is {options.MaxConnectionIdleTime}: give one second to 24 days.");
        }

        ValidateGroups(faults, options);
        ValidateCleaner(faults, options.Cleaner);
        ValidateTransactions(faults, options);

        // A batch that no request could carry would be a promise that the first large producer finds broken.
        if (options.MaxMessageByteCount > options.MaxRequestByteCount)
        {
            faults.Add(
                $"MaxMessageByteCount ({options.MaxMessageByteCount}) is above MaxRequestByteCount ({options.MaxRequestByteCount}): " +
                "raise the latter, since a batch travels inside a request.");
        }

        if (options.DefaultPartitionCount > options.MaxPartitionCount)
        {
            faults.Add(
                $"DefaultPartitionCount ({options.DefaultPartitionCount}) is above MaxPartitionCount ({options.MaxPartitionCount}): raise the latter.");
        }

        return faults;
    }

    private static void ValidateGroups(List<string> faults, BrokerOptions options)
    {
        RequireAtLeast(faults, nameof(options.GroupMaxSize), options.GroupMaxSize, 1);
        if (options.MaxOffsetMetadataLength is < 0 or > GroupSettings.LargestOffsetMetadataLength)
        {
            faults.Add($"MaxOffsetMetadataLength is {options.MaxOffsetMetadataLength}: give 0 to {GroupSettings.LargestOffsetMetadataLength}.");
        }

        if (options.GroupInitialRebalanceDelay < TimeSpan.Zero || options.GroupInitialRebalanceDelay > TimeSpan.FromMinutes(5))
        {
            faults.Add($"GroupInitialRebalanceDelay is {options.GroupInitialRebalanceDelay}: give zero to five minutes.");
        }

        if (options.OffsetsRetention < TimeSpan.FromMinutes(1) || options.OffsetsRetention > TimeSpan.FromDays(36_500))
        {
            faults.Add($"OffsetsRetention is {options.OffsetsRetention}: give one minute to 100 years.");
        }

        if (options.OffsetsRetentionCheckInterval < TimeSpan.FromSeconds(1) || options.OffsetsRetentionCheckInterval > TimeSpan.FromDays(24))
        {
            faults.Add($"OffsetsRetentionCheckInterval is {options.OffsetsRetentionCheckInterval}: give one second to 24 days.");
        }

        if (options.GroupMinSessionTimeout <= TimeSpan.Zero || options.GroupMaxSessionTimeout > TimeSpan.FromDays(24) ||
            options.GroupMinSessionTimeout > options.GroupMaxSessionTimeout)
        {
            faults.Add(
                $"GroupMinSessionTimeout is {options.GroupMinSessionTimeout} and GroupMaxSessionTimeout {options.GroupMaxSessionTimeout}: " +
                "give the first above zero, the second at most 24 days and not below the first.");
        }
    }

    private static void ValidateCleaner(List<string> faults, LogCleanerOptions cleaner)
    {
        try
        {
            cleaner.Validate();
        }
        catch (ArgumentOutOfRangeException fault)
        {
            // One sentence: what follows names the parameter and the value once more.
            faults.Add($"Cleaner: {fault.Message.Split(" (Parameter", 2)[0]}");
        }
    }

    private static void ValidateTransactions(List<string> faults, BrokerOptions options)
    {
        RequireAtLeast(faults, nameof(options.TransactionStateTopicPartitionCount), options.TransactionStateTopicPartitionCount, 1);
        if (options.TransactionMaxTimeout < TimeSpan.FromMilliseconds(1) || options.TransactionMaxTimeout > TimeSpan.FromMilliseconds(int.MaxValue))
        {
            faults.Add($"TransactionMaxTimeout is {options.TransactionMaxTimeout}: give one millisecond to 24 days.");
        }

        if (options.ProducerIdExpiration < TimeSpan.FromMilliseconds(1) || options.ProducerIdExpiration > TimeSpan.FromMilliseconds(int.MaxValue))
        {
            faults.Add($"ProducerIdExpiration is {options.ProducerIdExpiration}: give one millisecond to 24 days.");
        }

        // An id that is forgotten while its producer holds on to it makes that one fail at its next transaction.
        if (options.TransactionalIdExpiration < options.TransactionMaxTimeout || options.TransactionalIdExpiration > TimeSpan.FromDays(365))
        {
            faults.Add($"TransactionalIdExpiration is {options.TransactionalIdExpiration}: give at least TransactionMaxTimeout, and at most 365 days.");
        }
    }

    private static void RequireAtLeast(List<string> faults, string name, int value, int minimum)
    {
        if (value < minimum)
        {
            faults.Add($"{name} is {value}: give {minimum} or more.");
        }
    }
}
