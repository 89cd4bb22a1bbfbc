using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// The picture of the cluster that a client's producers and consumers share. It is refreshed when it is too old, when somebody finds it
/// wrong, and when a topic is missing; many requests for that become one question.
/// </summary>
internal sealed partial class MetadataCache : IAsyncDisposable
{
    /// <summary>After so long without use a topic is forgotten, as by Kafka's producer (<c>metadata.max.idle.ms</c>, 5 min).</summary>
    private static readonly TimeSpan TopicMaxIdleTime = TimeSpan.FromMinutes(5);

    private readonly ClientContext _context;
    private readonly ILogger _logger;
    private readonly ConnectionPool _pool;
    private readonly Dictionary<string, TrackedTopic> _topics = [];
    private readonly MissedTopics _missed = new();
    private readonly SemaphoreSlim _round = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationToken _stopping;
    private readonly Lock _gate = new();
    private readonly ITimer _ageTimer;
    private readonly Lock _viewGate = new();
    private ClusterView _view;

    // When the first of the questions was asked that no broker has answered since; 0 while they answer.
    private long _unansweredSince;
    private KafkaAuthenticationException? _refusal;
    private Task _background = Task.CompletedTask;
    private bool _isBackgroundRunning;
    private bool _isRefreshWanted;
    private long _startedRounds;

    // The last round that was not cancelled, and why no broker answered, if none did. The round's own.
    private long _endedRound;
    private KafkaException? _roundFailure;

    public MetadataCache(ClientContext context, ConnectionPool pool)
    {
        _context = context;
        _logger = context.Loggers.CreateLogger<MetadataCache>();
        _pool = pool;
        _stopping = _stop.Token;
        _view = ClusterView.Empty with { Missed = _missed };
        _ageTimer = context.Time.CreateTimer(
            static state => ((MetadataCache)state!).RefreshWhenUsed(), this, context.Settings.MetadataMaxAge, context.Settings.MetadataMaxAge);
    }

    /// <summary>Raised after the view was replaced, outside of locks, on the refreshing task.</summary>
    public event Action? Changed;

    public ClusterView View => Volatile.Read(ref _view);

    /// <summary>Why nothing is learned of the cluster at the moment, where that is a login that was refused, or a broker that is not trusted.</summary>
    public KafkaAuthenticationException? Refusal => Volatile.Read(ref _refusal);

    /// <summary>A topic with its partitions. Waits, and asks the broker to create it, while it is unknown.</summary>
    /// <exception cref="KafkaTimeoutException">Still unknown after <paramref name="timeout"/>.</exception>
    /// <exception cref="KafkaBrokerException">The topic can never be used: not authorised, or not a legal name.</exception>
    public ValueTask<TopicDescription> GetTopicAsync(string topic, TimeSpan timeout, CancellationToken cancellationToken) =>
        FindTopic(topic) is { } known
            ? new ValueTask<TopicDescription>(known)
            : new ValueTask<TopicDescription>(WaitForTopicAsync(topic, timeout, cancellationToken));

    /// <summary>Why nothing usable is known of a topic, and what to look at.</summary>
    public string WhyUnknown(string topic) => View.Topics.TryGetValue(topic, out TopicDescription? known) && known.ErrorCode != ErrorCode.None
        ? $"{KafkaErrors.Describe(known.ErrorCode)} Check whether the topic exists, or the broker creates topics by itself."
        : Refusal?.Message ?? "No broker has told of it. Check the bootstrap servers.";

    /// <summary>The topic, if it is known and usable.</summary>
    public TopicDescription? FindTopic(string topic)
    {
        if (!View.Topics.TryGetValue(topic, out TopicDescription? known) || !IsUsable(known))
        {
            return null;
        }

        known.Use?.Mark();
        return known;
    }

    /// <summary>
    /// Keeps these topics in the picture from the next refresh on, as long as they are used: whoever asks <see cref="View"/> for a leader uses the topic, and so does who calls this
    /// again. A topic that was not tracked before is asked for in a way that may create it.
    /// </summary>
    public void Track(IEnumerable<string> topics) => Track(topics, mayCreate: true);

    /// <summary>As the other, of topics that exist or are not to be created.</summary>
    public void TrackWithoutCreating(IEnumerable<string> topics) => Track(topics, mayCreate: false);

    /// <summary>A new picture, asked for after the call began.</summary>
    /// <exception cref="KafkaException">No broker answered.</exception>
    public async Task RefreshAsync(CancellationToken cancellationToken)
    {
        long wanted = Interlocked.Read(ref _startedRounds) + 1;
        await _round.TakeAsync(cancellationToken);
        try
        {
            // A round that began after this call, and is over: its answer is as fresh as ours would be, and where nobody has answered it, nobody would answer ours.
            if (_endedRound >= wanted)
            {
                if (_roundFailure is { } shared)
                {
                    ExceptionDispatchInfo.Throw(shared);
                }

                return;
            }

            await RunRoundAsync(Interlocked.Increment(ref _startedRounds), cancellationToken);
        }
        finally
        {
            _round.Release();
        }

        Changed?.Invoke();
    }

    /// <summary>Has the picture refreshed soon, in the background, until it succeeds.</summary>
    public void RequestRefresh()
    {
        lock (_gate)
        {
            _isRefreshWanted = true;
            if (!_isBackgroundRunning && !_stopping.IsCancellationRequested)
            {
                _isBackgroundRunning = true;
                _background = RefreshInBackgroundAsync();
            }
        }
    }

    /// <summary>Takes over what an answer to Produce or Fetch says of a partition's leader (KIP-951), if it is newer than what is known.</summary>
    /// <returns>Whether the picture has changed.</returns>
    public bool TryUpdateLeader(TopicPartition partition, LeaderIdAndEpoch? leader, IReadOnlyCollection<NodeEndpoint> endpoints)
    {
        if (leader is null)
        {
            return false;
        }

        lock (_viewGate)
        {
            if (View.WithLeader(partition, leader, endpoints) is not { } view)
            {
                return false;
            }

            Volatile.Write(ref _view, view);
        }

        LogMessages.LeaderLearned(_logger, partition, leader.LeaderId, leader.LeaderEpoch);
        Changed?.Invoke();
        return true;
    }

    /// <summary>Asks any broker that answers; null asks for all topics. Does not change the picture.</summary>
    /// <exception cref="KafkaException">No broker answered.</exception>
    public async Task<MetadataResponse> QueryAsync(IReadOnlyCollection<string>? topics, bool createTopics, CancellationToken cancellationToken) =>
        (await AskAsync(topics, createTopics, cancellationToken)).Response;

    public async ValueTask DisposeAsync()
    {
        await _ageTimer.DisposeAsync();
        await _stop.CancelElsewhereAsync();
        Task background;
        lock (_gate)
        {
            background = _background;
        }

        await background.ConfigureAwait(Awaiting.Quietly);
        _stop.Dispose();
    }

    private async Task RunRoundAsync(long number, CancellationToken cancellationToken)
    {
        try
        {
            (List<string> known, List<string> creatable, bool asksForAll) = TopicsToAskFor();
            if (asksForAll)
            {
                await TakeAllAsync([known, creatable], cancellationToken);
            }

            // By a question of their own: the others may have been deleted meanwhile, and a question that may create would bring them back.
            if (creatable.Count > 0)
            {
                (MetadataResponse response, short version) = await AskAsync(creatable, createTopics: true, cancellationToken);
                Take(response, version, only: null);
            }

            if (known.Count > 0 || (creatable.Count == 0 && !asksForAll))
            {
                (MetadataResponse response, short version) = await AskAsync(known, createTopics: false, cancellationToken);
                Take(response, version, only: null);
            }

            (_endedRound, _roundFailure) = (number, null);
        }
        catch (KafkaException failure)
        {
            (_endedRound, _roundFailure) = (number, failure);
            throw;
        }
    }

    /// <summary>
    /// Known brokers in random order, then the bootstrap servers, so that a cluster that has moved as a whole is found again (KIP-899). With
    /// <see cref="MetadataRecovery.None"/> those only while no broker is known.
    /// </summary>
    public IEnumerable<BrokerAddress> Candidates()
    {
        BrokerAddress[] known = [.. View.Brokers.Values.Select(broker => broker.Address)];
        BrokerAddress[] bootstrap = _context.Settings.MetadataRecovery == MetadataRecovery.Rebootstrap || known.Length == 0
            ? [.. _context.Settings.BootstrapAddresses]
            : [];
        Shuffle(known);
        Shuffle(bootstrap);
        return known.Concat(bootstrap).Distinct();
    }

    /// <summary>Takes over an answer.</summary>
    /// <param name="response">The answer.</param>
    /// <param name="version">Its version.</param>
    /// <param name="only">The topics that the picture keeps of those that it has; null for all.</param>
    private void Take(MetadataResponse response, short version, IReadOnlySet<string>? only)
    {
        ClusterView view;
        lock (_viewGate)
        {
            WarnOfAnotherCluster(response);
            view = (only is null ? View : View.Only(only)).Merge(response, version);
            Volatile.Write(ref _view, view);
        }

        lock (_gate)
        {
            foreach (string name in view.Topics.Values.Where(IsUsable).Select(topic => topic.Name))
            {
                if (_topics.TryGetValue(name, out TrackedTopic? tracked))
                {
                    tracked.MayBeCreated = false;
                }
            }
        }

        LogMessages.MetadataRefreshed(_logger, view.Brokers.Count, view.Topics.Count, view.ControllerId);
    }

    private Task<(MetadataResponse Response, short Version)> AskAsync(
        IReadOnlyCollection<string>? topics, bool createTopics, CancellationToken cancellationToken)
    {
        var request = new MetadataRequest
        {
            Topics = topics?.Select(topic => new MetadataRequestTopic { Name = topic }).ToList(),
            AllowAutoTopicCreation = createTopics,
        };

        // In version 0 an empty list means every topic.
        return AskAsync(request, lowestVersion: 1, cancellationToken);
    }

    private async Task<(MetadataResponse Response, short Version)> AskAsync(
        MetadataRequest request, short lowestVersion, CancellationToken cancellationToken)
    {
        RebootstrapWhenOverdue();
        var candidates = new Queue<BrokerAddress>(Candidates());
        bool isSentBack = false;
        KafkaException? lastFailure = null;
        KafkaAuthenticationException? refusal = null;
        while (candidates.TryDequeue(out BrokerAddress address))
        {
            try
            {
                BrokerConnection connection = await _pool.GetAsync(address, ConnectionPurpose.General, cancellationToken);
                short version = connection.VersionOf(MetadataRequest.Api, lowestVersion);
                MetadataResponse response = await connection.SendAsync<MetadataRequest, MetadataResponse>(
                    request, _context.Settings.RequestTimeout, cancellationToken, version);
                if (response.ErrorCode == ErrorCode.None && response.Brokers.Count > 0)
                {
                    Volatile.Write(ref _unansweredSince, 0);
                    Volatile.Write(ref _refusal, null);
                    return (response, version);
                }

                // A broker that has just started may know nothing of its cluster yet, and no topic of it.
                lastFailure = response.ErrorCode == ErrorCode.None
                    ? new KafkaConnectionException($"{address} knows no brokers of its cluster yet.")
                    : new KafkaBrokerException($"{address} answered Metadata: {KafkaErrors.Describe(response.ErrorCode)}", response.ErrorCode);
                if (response.ErrorCode == ErrorCode.RebootstrapRequired && !isSentBack && _context.Settings.MetadataRecovery == MetadataRecovery.Rebootstrap)
                {
                    isSentBack = true;
                    Rebootstrap($"{address} asks for it");
                    candidates = new Queue<BrokerAddress>(Candidates());
                }
            }
            catch (KafkaAuthenticationException failure) when (failure.ErrorCode == ErrorCode.SaslAuthenticationFailed)
            {
                // A password that one broker refuses is not tried on the others; a broker whose certificate is bad does not stand for the others.
                NoteUnanswered();
                Refuse(failure);
                throw;
            }
            catch (KafkaException failure) when (failure is not KafkaClosedException)
            {
                lastFailure = failure;
                refusal ??= failure as KafkaAuthenticationException;
                NoteUnanswered();
            }
        }

        if (refusal is not null)
        {
            Refuse(refusal);
        }

        throw lastFailure is KafkaBrokerException { ErrorCode: ErrorCode.RebootstrapRequired } ? lastFailure
            : refusal is not null ? refusal
            : new KafkaConnectionException($"No broker answered a question for metadata. {lastFailure?.Message}", lastFailure);
    }

    private void NoteUnanswered() => Interlocked.CompareExchange(ref _unansweredSince, Math.Max(1, _context.Time.GetTimestamp()), 0);

    /// <summary>Gives up the brokers that are known where none has answered for so long: one that takes connections and says nothing costs every question its time-out (KIP-1102).</summary>
    private void RebootstrapWhenOverdue()
    {
        long since = Volatile.Read(ref _unansweredSince);
        if (_context.Settings.MetadataRecovery == MetadataRecovery.Rebootstrap && since != 0 && View.Brokers.Count > 0
            && _context.Time.GetElapsedTime(since) >= _context.Settings.RebootstrapTrigger)
        {
            Rebootstrap($"no broker has answered for {_context.Settings.RebootstrapTrigger}");
        }
    }

    private void Refuse(KafkaAuthenticationException refusal)
    {
        // Each time: who waits for a leader is told of each attempt.
        Volatile.Write(ref _refusal, refusal);
        Changed?.Invoke();
    }

    private void Rebootstrap(string reason)
    {
        LogMessages.Rebootstrapping(_logger, reason);
        lock (_viewGate)
        {
            Volatile.Write(ref _view, View.WithoutBrokers());
        }
    }

    private void WarnOfAnotherCluster(MetadataResponse response)
    {
        if (View.ClusterId is { } known && response.ClusterId is { } answered && known != answered)
        {
            LogMessages.AnotherCluster(_logger, known, answered);
        }
    }

    private static bool IsUsable(TopicDescription topic) => topic.ErrorCode == ErrorCode.None && topic.Partitions.Count > 0;

    private async Task<TopicDescription> WaitForTopicAsync(string topic, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(timeout, _context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken, _stopping);
        ErrorCode lastError = ErrorCode.UnknownTopicOrPartition;
        KafkaException? lastFailure = null;
        try
        {
            for (int failureCount = 1; ; failureCount++)
            {
                Want(topic);
                lastFailure = await TryRefreshAsync(linked.Token);
                if (View.Topics.TryGetValue(topic, out TopicDescription? known))
                {
                    if (IsUsable(known))
                    {
                        return known;
                    }

                    lastError = known.ErrorCode == ErrorCode.None ? ErrorCode.LeaderNotAvailable : known.ErrorCode;
                    if (!KafkaErrors.IsRetriable(lastError))
                    {
                        throw new KafkaBrokerException($"Topic '{topic}' cannot be used. {KafkaErrors.Describe(lastError)}", lastError);
                    }
                }

                TimeSpan pause = _context.RetryBackoff.After(failureCount);
                if (lastFailure is not null)
                {
                    LogMessages.MetadataRefreshFailed(_logger, pause, lastFailure.Message);
                }

                await Task.Delay(pause, _context.Time, linked.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            if (_stopping.IsCancellationRequested)
            {
                throw new KafkaClosedException($"The client was closed while it waited for metadata of topic '{topic}'.");
            }

            // The question goes on without this caller: one that waits for less than an answer takes would never learn of the topic.
            RequestRefresh();
            throw new KafkaTimeoutException(
                $"No metadata of topic '{topic}' within {timeout}: {lastFailure?.Message ?? KafkaErrors.Describe(lastError)} " +
                "Check the bootstrap servers, and whether the topic exists or the broker creates topics by itself.",
                lastFailure?.ErrorCode ?? lastError,
                lastFailure);
        }
    }

    private async Task<KafkaException?> TryRefreshAsync(CancellationToken cancellationToken)
    {
        try
        {
            await RefreshAsync(cancellationToken);
            return null;
        }
        catch (KafkaException failure) when (failure.IsTransient)
        {
            return failure;
        }
    }

    private async Task RefreshInBackgroundAsync()
    {
        // Leaves the caller's lock.
        await _context.BeginAsync();
        int vainCount = 0;
        while (TakeWantedRefresh())
        {
            ClusterView before = View;
            TimeSpan pause;
            try
            {
                await RefreshAsync(_stopping);
                vainCount = View.HasSameLeaders(before) ? vainCount + 1 : 1;
                pause = _context.RetryBackoff.After(vainCount);
            }
            catch (OperationCanceledException)
            {
                continue;
            }
            catch (Exception failure)
            {
                // Whatever it is, an answer that contradicts itself or a listener of a meter that fails: without this loop nothing would be refreshed any more.
                pause = _context.RetryBackoff.After(++vainCount);
                LogMessages.MetadataRefreshFailed(_logger, pause, failure.Message);
                lock (_gate)
                {
                    _isRefreshWanted = true;
                }
            }

            // What made somebody ask is often not over yet, so that even a success pauses: questions of that moment become one. Who asks again, and learns nothing, waits longer each
            // time (KIP-580).
            await Task.Delay(pause, _context.Time, _stopping).ConfigureAwait(Awaiting.Quietly);
        }
    }

    private bool TakeWantedRefresh()
    {
        lock (_gate)
        {
            // Decided under the lock: a wish that comes later finds the loop gone and starts it again.
            _isBackgroundRunning = _isRefreshWanted && !_stopping.IsCancellationRequested;
            _isRefreshWanted = false;
            return _isBackgroundRunning;
        }
    }

    private void RefreshWhenUsed()
    {
        bool isUsed;
        lock (_gate)
        {
            isUsed = _topics.Count > 0 || _tracksAll;
        }

        if (isUsed)
        {
            RequestRefresh();
        }
    }

    private void Shuffle(BrokerAddress[] addresses)
    {
        for (int i = addresses.Length - 1; i > 0; i--)
        {
            int other = _context.Chance.Next(i + 1);
            (addresses[i], addresses[other]) = (addresses[other], addresses[i]);
        }
    }

    /// <summary>A topic of the picture.</summary>
    private sealed class TrackedTopic(long usedAt, bool mayBeCreated)
    {
        public long UsedAt { get; set; } = usedAt;

        /// <summary>Whether a question for it may create it: until it is there, and again when somebody who finds it gone wants to write to it.</summary>
        public bool MayBeCreated { get; set; } = mayBeCreated;
    }
}
