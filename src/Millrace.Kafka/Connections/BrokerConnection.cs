using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// One open connection to a broker: requests go out in the order of the calls, answers come back in the same order. When anything breaks,
/// the connection is over and every outstanding request fails; a new connection is somebody else's business.
/// </summary>
internal sealed partial class BrokerConnection : IAsyncDisposable
{
    /// <summary>A frame, with the request that waits for its answer, or with who waits until it is sent.</summary>
    private readonly record struct OutgoingFrame(FrameBuffer Frame, PendingRequest? Pending, TaskCompletionSource? Sent);

    private readonly ClientContext _context;
    private readonly ILogger _logger;
    private readonly IKafkaTransport _transport;
    private readonly BrokerVersions _brokerVersions;
    private readonly int _maxInFlight;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<OutgoingFrame> _outgoing;
    private readonly SemaphoreSlim _inFlight;
    private readonly Queue<PendingRequest> _outstanding = new();
    private readonly Lock _gate = new();
    private KafkaException? _failure;
    private long _lastUse;
    private volatile bool _hasAnswered;
    private bool _isCounted;

    // A timestamp, 0 for none.
    private long _mutedUntil;
    private int _lastCorrelationId;
    private Task _loops = Task.CompletedTask;

    private BrokerConnection(
        BrokerAddress address,
        ClientContext context,
        IKafkaTransport transport,
        BrokerVersions brokerVersions,
        int maxInFlight)
    {
        Address = address;
        _context = context;
        _logger = context.Loggers.CreateLogger<BrokerConnection>();
        _transport = transport;
        _brokerVersions = brokerVersions;

        // The end of a connection adds one permit, for which there is to be room.
        _maxInFlight = Math.Min(maxInFlight, int.MaxValue - 1);
        _inFlight = new SemaphoreSlim(_maxInFlight);

        // Never full: a frame is written only by who holds one of as many permits. While the loop that sends waits for something to do, it goes on in the
        // call that writes: to wake another thread for it would take longer than to send.
        _outgoing = Channel.CreateBounded<OutgoingFrame>(new BoundedChannelOptions(_maxInFlight) { AllowSynchronousContinuations = true });
        _lastUse = context.Time.GetTimestamp();
        Mute(ApiKey.ApiVersions, brokerVersions.AnswerVersion, brokerVersions.ThrottleMilliseconds);
    }

    public BrokerAddress Address { get; }

    public bool IsOpen => Volatile.Read(ref _failure) is null;

    /// <summary>How much longer the broker wants the connection to pause (KIP-219). What is sent meanwhile waits here, and its time-out begins after the pause.</summary>
    public TimeSpan MutedFor
    {
        get
        {
            long until = Volatile.Read(ref _mutedUntil);
            TimeSpan rest = until == 0 ? TimeSpan.Zero : -_context.Time.GetElapsedTime(until);
            return rest > TimeSpan.Zero ? rest : TimeSpan.Zero;
        }
    }

    /// <summary>Whether the broker has an API in any version.</summary>
    public bool Offers(ApiKey api) => _brokerVersions.Ranges.ContainsKey(api);

    /// <summary>The newest version that both sides have.</summary>
    /// <exception cref="KafkaVersionException">There is none.</exception>
    public short VersionOf(ApiDefinition api, short lowest = 0)
    {
        short newest = ClientVersions.NewestOf(api);
        short ours = Math.Max(api.MinVersion, lowest);
        if (!_brokerVersions.Ranges.TryGetValue(api.Key, out (short Min, short Max) theirs))
        {
            throw new KafkaVersionException($"{Address} does not offer {api.Key}, which this client needs in versions {ours} to {newest}.");
        }

        short version = Math.Min(newest, theirs.Max);
        if (version < theirs.Min || version < ours)
        {
            throw new KafkaVersionException(
                $"{Address} offers {api.Key} in versions {theirs.Min} to {theirs.Max}, this client needs {ours} to {newest}. Upgrade the older of the two.");
        }

        return version;
    }

    /// <summary>The level of a feature that the cluster has agreed on (KIP-584), such as <c>transaction.version</c>; 0 where the broker names none.</summary>
    public short FeatureLevel(string feature) => _brokerVersions.FinalizedFeatures.GetValueOrDefault(feature);

    /// <summary>
    /// Sends a request and completes with its answer. Where fewer than the allowed number of requests are outstanding, its place in the
    /// order is settled when the call returns.
    /// </summary>
    /// <param name="request">The request.</param>
    /// <param name="timeout">
    /// How long the answer may take, pauses that the broker asks for apart. Then the connection is closed, since later answers wait behind this one.
    /// </param>
    /// <param name="cancellationToken">Ends the wait; the answer is discarded when it comes, and the time-out goes on.</param>
    /// <param name="version">The version to send; -1 takes the newest in common.</param>
    /// <param name="keepsFrame">
    /// Whether the frame comes with the answer (<see cref="IFrameOwner.Frame"/>), and with it the duty to release it. An answer that nobody waits for any more leaves its
    /// frame to the garbage collector.
    /// </param>
    public async Task<TResponse> SendAsync<TRequest, TResponse>(
        TRequest request,
        TimeSpan timeout,
        CancellationToken cancellationToken,
        short version = -1,
        bool keepsFrame = false)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new()
    {
        ApiDefinition api = TRequest.Api;
        short sentVersion = version >= 0 ? version : VersionOf(api);
        await _inFlight.TakeAsync(cancellationToken);
        
        // The answers to everything else are followed by the application's code.
        bool goesOnInLoop = api.Key is ApiKey.Fetch or ApiKey.Produce && !_context.Settings.KeepsCallersContext;
        var pending = new PendingRequest<TResponse>(
            api, sentVersion, Interlocked.Increment(ref _lastCorrelationId), keepsFrame, goesOnInLoop: goesOnInLoop);
        bool isCounted = BeginRequest(api.Key, out long start);
        long sentAt = _context.Time.GetTimestamp();
        try
        {
            Enqueue(WriteFrame(request, pending.Version, pending.CorrelationId), pending, sent: null);
            TimeSpan rest = timeout;
            while (true)
            {
                try
                {
                    return await pending.Response.InContext().WaitAsync(rest, _context.Time, cancellationToken);
                }
                catch (TimeoutException)
                {
                    rest = RestAfterPause(timeout);
                    if (rest <= TimeSpan.Zero)
                    {
                        throw Overdue(NotAnswered(api, timeout));
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            _ = WatchAsync(pending.Response, timeout, sentAt, NotAnswered(api, timeout));
            throw;
        }
        finally
        {
            if (isCounted)
            {
                EndRequest(api.Key, start);
            }
        }
    }

    /// <summary>
    /// Sends a request that is not answered, and completes when the transport has taken it. A transport that does not within
    /// <paramref name="timeout"/> has a peer that reads no more: the connection is closed.
    /// </summary>
    public async Task SendWithoutResponseAsync<TRequest>(TRequest request, short version, TimeSpan timeout, CancellationToken cancellationToken)
        where TRequest : class, IRequest
    {
        await _inFlight.TakeAsync(cancellationToken);
        var sent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        long sentAt = _context.Time.GetTimestamp();
        Enqueue(WriteFrame(request, version, Interlocked.Increment(ref _lastCorrelationId)), pending: null, sent);
        TimeSpan rest = timeout;
        while (true)
        {
            try
            {
                await sent.Task.InContext().WaitAsync(rest, _context.Time, cancellationToken);
                return;
            }
            catch (TimeoutException)
            {
                rest = RestAfterPause(timeout);
                if (rest <= TimeSpan.Zero)
                {
                    throw Overdue(NotTaken(TRequest.Api, timeout));
                }
            }
            catch (OperationCanceledException)
            {
                _ = WatchAsync(sent.Task, timeout, sentAt, NotTaken(TRequest.Api, timeout));
                throw;
            }
        }
    }

    /// <summary>Closes the connection if nothing is outstanding and nothing was for so long.</summary>
    public void CloseIfUnused(TimeSpan limit)
    {
        TimeSpan unused = _context.Time.GetElapsedTime(Volatile.Read(ref _lastUse));
        if (unused >= limit)
        {
            Break(new KafkaConnectionException($"The connection to {Address} was closed, since nothing used it for {unused}."), onlyIfUnused: true);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Break(new KafkaClosedException($"The connection to {Address} was closed by the client."));
        await _loops;

        // The source of the stop is not disposed: a time-out or the watch for unused connections may be about to end the connection, too.
    }

    /// <summary>Counts a request, if somebody wants to know.</summary>
    private bool BeginRequest(ApiKey api, out long start)
    {
        start = 0;
        if (!Diagnostics.RequestDuration.Enabled && !Diagnostics.ActiveRequests.Enabled)
        {
            return false;
        }

        start = _context.Time.GetTimestamp();
        Diagnostics.ActiveRequests.Tell(1, Diagnostics.BrokerTags(Address, api));
        return true;
    }

    private void EndRequest(ApiKey api, long start)
    {
        System.Diagnostics.TagList tags = Diagnostics.BrokerTags(Address, api);
        Diagnostics.ActiveRequests.Tell(-1, tags);
        Diagnostics.RequestDuration.Tell(_context.Time.GetElapsedTime(start).TotalSeconds, tags);
    }

    private FrameBuffer WriteFrame<TRequest>(TRequest request, short version, int correlationId)
        where TRequest : class, IRequest
    {
        try
        {
            return MessageCodec.WriteRequest(request, version, correlationId, _context.Settings.ClientId);
        }
        catch
        {
            _inFlight.Release();
            throw;
        }
    }

    private void Enqueue(FrameBuffer frame, PendingRequest? pending, TaskCompletionSource? sent)
    {
        Volatile.Write(ref _lastUse, _context.Time.GetTimestamp());
        // Outside of the lock, since the frame may leave in this very call.
        using (_context.LeaveCallersContext())
        {
            if (_outgoing.Writer.TryWrite(new OutgoingFrame(frame, pending, sent)))
            {
                return;
            }
        }

        lock (_gate)
        {
            Invariant.Holds(_failure is not null, "every frame on its way holds a permit");
        }

        // The permit goes on to the next caller that waits, so that each of them sees the failure.
        frame.Release();
        _inFlight.Release();
        throw Lost(_failure!, pending);
    }

    /// <summary>What is left of a time-out that counts from the end of the last pause; nothing if that is long ago, or if there was none.</summary>
    private TimeSpan RestAfterPause(TimeSpan timeout)
    {
        long until = Volatile.Read(ref _mutedUntil);
        return until == 0 ? TimeSpan.Zero : timeout - _context.Time.GetElapsedTime(until);
    }

    /// <summary>
    /// Goes on with a time-out whose caller has left. Otherwise a connection that died in silence would be found dead by nobody as long as each of its callers leaves early, and once these had
    /// taken all permits, the others would wait for one for ever.
    /// </summary>
    private async Task WatchAsync(Task over, TimeSpan timeout, long sentAt, string what)
    {
        await _context.BeginAsync();
        TimeSpan rest = timeout - _context.Time.GetElapsedTime(sentAt);
        while (!over.IsCompleted)
        {
            rest = rest > TimeSpan.Zero ? rest : RestAfterPause(timeout);
            if (rest <= TimeSpan.Zero)
            {
                Overdue(what);
                return;
            }

            await over.InContext().WaitAsync(rest, _context.Time).ConfigureAwait(Awaiting.Quietly);
            rest = TimeSpan.Zero;
        }
    }

    private string NotAnswered(ApiDefinition api, TimeSpan timeout) => $"{Address} did not answer {api.Key} within {timeout}.";

    private string NotTaken(ApiDefinition api, TimeSpan timeout) => $"{Address} did not take {api.Key} within {timeout}.";

    private KafkaTimeoutException Overdue(string what)
    {
        var failure = new KafkaTimeoutException($"{what} The connection is closed; the request may have been carried out.");
        Break(failure);
        return failure;
    }
}
