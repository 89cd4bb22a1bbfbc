using System.Net;
using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// A Kafka broker of one node: leader of every partition, controller, and coordinator of every group. It serves TCP clients where it is told to listen, and
/// programs in its own process through <see cref="Connect"/>; both speak the same frames.
/// </summary>
public sealed class KafkaBroker : IAsyncDisposable
{
    /// <summary>How long a stop waits for responses to leave before it cuts the connections.</summary>
    private static readonly TimeSpan StopPatience = TimeSpan.FromMilliseconds(700);

    /// <summary>Frames that wait in each direction of an in-memory connection.</summary>
    private const int MaxQueuedInMemoryFrames = 64;

    private readonly BrokerConfiguration _configuration;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LogDirectory _log;
    private readonly IAsyncDisposable _committer;
    private readonly LogCleaner _cleaner;
    private readonly PartitionWaits _waits;
    private readonly ColdReaders _coldReaders;
    private readonly GroupServices _groups;
    private readonly ApiTable _apis;
    private readonly IReadOnlyList<Listener> _listeners;
    private readonly CancellationTokenSource _stopping;
    private readonly ConnectionTable _connections;
    private readonly Task _accepting;

    // Where the broker was started. Who connects to it or stops it may be the thread of a user interface, on which nothing of the broker's may run.
    private readonly SynchronizationContext? _context = SynchronizationContext.Current;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _state;

    private KafkaBroker(BrokerServices services, GroupServices groups, IAsyncDisposable committer, IReadOnlyList<Listener> listeners, CancellationTokenSource stopping)
    {
        _configuration = services.Configuration;
        _time = services.Time;
        _logger = services.Loggers.CreateLogger<KafkaBroker>();
        _log = services.Log;
        _committer = committer;
        _cleaner = new LogCleaner(_log, _configuration.Cleaner, _time, _logger);
        _waits = services.Waits;
        _coldReaders = services.ColdReaders;
        _groups = groups;
        _listeners = listeners;
        _stopping = stopping;
        Topics = services.Topics;
        _apis = CreateApis(services, groups);
        _connections = new ConnectionTable(_configuration, _apis, services.Sasl, _time, _logger, _stopping.Token);
        _accepting = Task.WhenAll(listeners.Select(listener => listener.AcceptAsync(_connections.Accept, _stopping.Token)));
    }

    private enum State
    {
        Running,
        Stopping,
    }

    /// <summary>Where clients connect, with the port that was really taken; null when the broker serves this process only. The first one, where there are several.</summary>
    public IPEndPoint? ListenEndPoint => _listeners.Count > 0 ? _listeners[0].EndPoint : null;

    /// <summary>Everywhere that clients connect: <see cref="BrokerOptions.Listen"/> first, then <see cref="BrokerOptions.Listeners"/>.</summary>
    public IReadOnlyList<ListeningAddress> Listeners =>
        [.. _listeners.Select(static listener => new ListeningAddress(listener.Bound.Configuration.Protocol, listener.EndPoint))];

    /// <summary>After <see cref="StopAsync"/>: whether everything is on the disk. If not, what was acknowledged with acks=all is, and the next start recovers.</summary>
    public bool WasStoppedCleanly { get; private set; }

    internal TopicCatalog Topics { get; }

    internal GroupCoordinator Groups => _groups.Coordinator;

    internal int ConnectionCount => _connections.Count;

    internal long RequestByteCount => _connections.RequestByteCount;

    internal bool IsAnyConnectionSending => _connections.IsAnySending;

    /// <summary>Opens the data directory, recovers it if it was not closed cleanly, and begins to serve.</summary>
    /// <exception cref="BrokerStartException">An option, the data directory or the address does not allow it; the message says what to do.</exception>
    public static async Task<KafkaBroker> StartAsync(
        BrokerOptions options, IStorage storage, TimeProvider time, ILoggerFactory loggers, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storage);
        ArgumentNullException.ThrowIfNull(time);
        ArgumentNullException.ThrowIfNull(loggers);
        BrokerConfiguration configuration = BrokerConfiguration.From(options);

        // Recovery reads files for as long as it takes; the caller's thread is not ours to hold.
        return await Task.Run(() => StartAsync(configuration, storage, time, new QuietLoggers(loggers), BrokerRuntime.OfProcess), cancellationToken);
    }

    /// <summary>Opens a connection inside the process. Closing it is the caller's; stopping the broker ends it as well.</summary>
    /// <exception cref="ObjectDisposedException">The broker has stopped.</exception>
    public InMemoryConnection Connect()
    {
        ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
        var connection = new InMemoryConnection(MaxQueuedInMemoryFrames);
        InOwnContext(() => _connections.Add(connection));
        return connection;
    }

    /// <summary>
    /// Stops cleanly: takes no new connection and reads no new request, answers what has begun (long polls with what there is, appends once they are durable),
    /// closes the log, and marks it as closed. Takes under a second, unless the disk takes longer to sync. Who calls it again waits for the same stop.
    /// </summary>
    public Task StopAsync(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _state, (int)State.Stopping) != (int)State.Running)
        {
            // Not before the log is closed: who disposes of the broker while another stops it may end the process next.
            return _stopped.Task.WaitAsync(cancellationToken);
        }

        Task stop = Task.CompletedTask;
        InOwnContext(() => stop = StopOnceAsync(cancellationToken));
        return stop;
    }

    private async Task StopOnceAsync(CancellationToken cancellationToken)
    {
        try
        {
            await StopPartsAsync(cancellationToken);
        }
        finally
        {
            _stopped.SetResult();
        }
    }

    private async Task StopPartsAsync(CancellationToken cancellationToken)
    {
        await EndConnectionsAsync(cancellationToken);
        _coldReaders.Dispose();
        await _groups.DisposeAsync();
        await _cleaner.DisposeAsync();
        await _committer.DisposeAsync();
        try
        {
            WasStoppedCleanly = _log.Close();
            if (WasStoppedCleanly)
            {
                LogMessages.BrokerStopped(_logger);
            }
            else
            {
                // The log has said why.
                LogMessages.UncleanClose(_logger, exception: null);
            }
        }
        catch (IOException failure)
        {
            LogMessages.UncleanClose(_logger, failure);
        }

        _log.Dispose();
    }

    /// <summary>Stops as a crash does: connections are cut, nothing is flushed, the log is not marked as closed. What was acknowledged with acks=all is on the disk all the same.</summary>
    public void Abort()
    {
        if (Interlocked.Exchange(ref _state, (int)State.Stopping) != (int)State.Running)
        {
            return;
        }

        // The connections first: nothing that the stop makes anybody say may still reach a client.
        StopListening();
        _connections.AbortAll();
        _stopping.Cancel();
        _connections.Dispose();
        _log.Dispose();
        InOwnContext(() => _ = AbandonAsync());
        _stopped.SetResult();
    }

    public ValueTask DisposeAsync() => new(StopAsync(CancellationToken.None));

    /// <summary>As the other, on the caller's thread and in its synchronization context; what a logger throws, it throws here.</summary>
    internal static async Task<KafkaBroker> StartAsync(
        BrokerConfiguration configuration, IStorage storage, TimeProvider time, ILoggerFactory loggers, BrokerRuntime runtime)
    {
        ILogger logger = loggers.CreateLogger<KafkaBroker>();

        // The address first: it is the likelier thing to be wrong, and nothing has to be undone.
        List<Listener> listeners = StartListeners(configuration, time, logger);
        LogDirectory? log = null;
        IAsyncDisposable? committer = null;
        try
        {
            log = OpenLog(configuration, storage, time, runtime.NewRandom(), logger);
            committer = runtime.StartCommitter(log, time);
            var stopping = new CancellationTokenSource();
            var waits = new PartitionWaits(time);
            var services = new BrokerServices
            {
                Configuration = configuration,
                Address = new AdvertisedAddress(configuration, [.. listeners.Select(static listener => listener.Bound)]),
                Storage = storage,
                Log = log,
                Topics = TopicCatalog.Open(
                    log, TopicDeletions.Open(storage, configuration.DataDirectory), waits, runtime.NewId, configuration.MaxPartitionCount, logger),
                Waits = waits,
                ColdReaders = new ColdReaders(),
                Time = time,
                Loggers = loggers,
                Runtime = runtime,
                Sasl = configuration.Security.UsersFile is { } users ? new SaslServices(configuration.Security, users, storage, time, logger) : null,
                Stopping = stopping.Token,
            };
            var broker = new KafkaBroker(services, await OpenGroupsAsync(services), committer, listeners, stopping);
            LogMessages.BrokerStarted(
                logger,
                configuration.DataDirectory,
                listeners.Count > 0 ? string.Join(", ", broker.Listeners) : "no network address",
                log.ClusterId,
                services.Topics.PartitionCount);
            return broker;
        }
        catch
        {
            listeners.ForEach(static listener => listener.Dispose());
            if (committer is not null)
            {
                await committer.DisposeAsync();
            }

            log?.Dispose();
            throw;
        }
    }

    private static List<Listener> StartListeners(BrokerConfiguration configuration, TimeProvider time, ILogger logger)
    {
        List<Listener> listeners = [];
        try
        {
            foreach (ListenerConfiguration listener in configuration.Listeners)
            {
                listeners.Add(Listener.Start(listener, time, logger));
            }

            return listeners;
        }
        catch
        {
            listeners.ForEach(static listener => listener.Dispose());
            throw;
        }
    }

    private static LogDirectory OpenLog(BrokerConfiguration configuration, IStorage storage, TimeProvider time, Random random, ILogger logger)
    {
        try
        {
            var options = new LogDirectoryOptions
            {
                Path = configuration.DataDirectory,
                MaximumBatchByteCount = configuration.MaxRequestByteCount,
                SegmentByteCount = configuration.TopicDefaults.SegmentByteCount,
                IndexIntervalByteCount = configuration.TopicDefaults.IndexIntervalByteCount,
                MaximumIndexByteCount = configuration.TopicDefaults.SegmentIndexByteCount,
                ProducerIdExpiration = configuration.ProducerIdExpiration,
                CommitJournalByteCount = configuration.CommitJournalByteCount,
                TopicDefaults = configuration.TopicDefaults,
            };
            return LogDirectory.Open(options, storage, time, random, logger);
        }
        catch (LogDirectoryException failure)
        {
            throw new BrokerStartException(BrokerStartFailure.DataDirectory, failure.Message, failure);
        }
    }

    private static async Task<GroupServices> OpenGroupsAsync(BrokerServices services)
    {
        GroupServices groups = await GroupServices.StartAsync(services);
        try
        {
            services.Log.TrustWrites();
            return groups;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            await groups.DisposeAsync();
            throw new BrokerStartException(
                BrokerStartFailure.DataDirectory, $"{services.Configuration.DataDirectory} cannot be written: {failure.Message}", failure);
        }
    }

    private static ApiTable CreateApis(BrokerServices services, GroupServices groups)
    {
        var apiVersions = new ApiVersionsApi();
        var table = new ApiTable(
        [
            new ProduceApi(services, groups.Transactions),
            new FetchApi(services),
            new ListOffsetsApi(services),
            new MetadataApi(services),
            apiVersions,
            new CreateTopicsApi(services, groups.Coordinator, groups.Transactions),
            new DeleteRecordsApi(services),
            new CreatePartitionsApi(services),
            new DescribeConfigsApi(services),
            new AlterConfigsApi(services),
            new IncrementalAlterConfigsApi(services),
            new OffsetForLeaderEpochApi(services),
            new DescribeClusterApi(services),
            new DescribeTopicPartitionsApi(services),
            new DescribeLogDirsApi(services),
            new ListPartitionReassignmentsApi(),
            new ElectLeadersApi(services),
            new DescribeAclsApi(),
            new CreateAclsApi(),
            new DeleteAclsApi(),
            new SaslHandshakeApi(),
            new SaslAuthenticateApi(services.Time, services.Loggers.CreateLogger<KafkaBroker>()),
            .. groups.Apis,
        ]);
        apiVersions.Offer(table.Definitions);
        return table;
    }

    /// <summary>Ends timers and threads; the log is closed to them already.</summary>
    private async Task AbandonAsync()
    {
        _coldReaders.Dispose();
        await _groups.DisposeAsync();
        await _cleaner.DisposeAsync();
        await _committer.DisposeAsync();
    }

    /// <summary>Begins something whose continuations go on where the broker's do, and not where the caller's would.</summary>
    private void InOwnContext(Action begin)
    {
        SynchronizationContext? callers = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(_context);
        try
        {
            begin();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(callers);
        }
    }

    private void StopListening()
    {
        foreach (Listener listener in _listeners)
        {
            listener.Dispose();
        }
    }

    private void BeginToStop() => _stopping.Cancel();

    private async Task EndConnectionsAsync(CancellationToken cancellationToken)
    {
        // Cancelled before the waits are woken: a long poll that is answered now must not be followed by the next one of the same client.
        BeginToStop();
        StopListening();
        _connections.Dispose();
        _waits.Stop();
        await _accepting;
        Task all = _connections.WhenAllEndedAsync();
        try
        {
            await all.WaitAsync(StopPatience, _time, cancellationToken);
        }
        catch (Exception late) when (late is TimeoutException or OperationCanceledException)
        {
            LogMessages.ConnectionsCutAtStop(_logger, _connections.Count, StopPatience.TotalSeconds);
            _connections.AbortAll();
            await all;
        }
    }
}
