using System.Diagnostics;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// One client's connection: begins requests in the order in which they come, lets those that wait overlap, and sends the responses in the order of the requests.
/// Two loops: one reads and begins, and answers at once what has nothing to wait for; one awaits and sends the rest. What is between them is bounded, so
/// a client that does not read its responses is not read from.
/// </summary>
internal sealed class ClientConnection : IDisposable
{
    /// <summary>
    /// The largest request that carries no records. What it consists of becomes objects, strings and state of groups, many times its size in memory,
    /// where a Produce request of <c>socket.request.max.bytes</c> is mostly bytes that stay where they are.
    /// </summary>
    internal const int MaxByteCountWithoutRecords = 8 * 1024 * 1024;

    /// <summary>How long a piece of memory may take to be filled by its sender while others wait for memory.</summary>
    internal static readonly TimeSpan MaxStallTime = TimeSpan.FromSeconds(10);

    private const long NotArriving = -1;

    private readonly FrameTransport _transport;
    private readonly ConnectionSession _session;
    private readonly ApiTable _apis;
    private readonly RequestMemory _memory;
    private readonly Action _closeStalled;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _aborted = new();
    private readonly CancellationTokenSource _reading;

    // A slot is taken before a request begins and given back after its response is sent, so the queue never has to wait for room.
    private readonly SemaphoreSlim _slots;
    private readonly Channel<PendingResponse> _pending;
    private int _inFlightRequestCount;
    private readonly Func<bool> _mayBlock;
    private readonly FrameAdmission _admit;
    private readonly TimeSpan _authenticationTimeout;
    private readonly int _maxRequestByteCount;
    private ITimer? _authenticationTimer;
    private bool _isOpen = true;

    // Of the frame that arrives: what it holds, and whether it has its slot. The reading loop's alone.
    private RequestCharge _arriving;
    private bool _hasSlot;

    // When the last piece of memory was given to it, unless it holds none, or waits for the next one.
    private long _arrivingSince = NotArriving;
    private Task _previousIsAnswered = Task.CompletedTask;

    /// <summary>
    /// Serves a transport, which it owns. <paramref name="stopReading"/> ends the reading; what has begun is finished and answered. <paramref name="closeStalled"/>
    /// is called now and then while it waits for memory.
    /// </summary>
    public ClientConnection(
        FrameTransport transport,
        ConnectionSession session,
        ApiTable apis,
        RequestMemory memory,
        Action closeStalled,
        BrokerConfiguration configuration,
        TimeProvider time,
        ILogger logger,
        CancellationToken stopReading)
    {
        _reading = CancellationTokenSource.CreateLinkedTokenSource(stopReading);
        _time = time;
        _transport = transport;
        _session = session;
        _authenticationTimeout = configuration.Security.AuthenticationTimeout;
        _maxRequestByteCount = configuration.MaxRequestByteCount;
        int maxInFlightRequests = configuration.MaxInFlightRequests;
        _apis = apis;
        _memory = memory;
        _closeStalled = closeStalled;
        _logger = logger;
        _mayBlock = () => !HasRequestsInFlight && !_transport.HasMore;
        _admit = AdmitAsync;
        _slots = new SemaphoreSlim(maxInFlightRequests, maxInFlightRequests);
        _pending = Channel.CreateBounded<PendingResponse>(
            new BoundedChannelOptions(maxInFlightRequests) { SingleReader = true, SingleWriter = true });
    }

    public ConnectionIdentity Identity => _transport.Identity;

    public FrameTransport Transport => _transport;

    public bool HasRequestsInFlight => Volatile.Read(ref _inFlightRequestCount) > 0;

    /// <summary>Serves the connection to its end. Never throws.</summary>
    public async Task RunAsync()
    {
        // A task of its own from the start: a client that always has the next frame ready must not keep the accept loop.
        await Task.Yield();
        Task answering = AnswerAsync();
        try
        {
            if (await OpenAsync())
            {
                await ReadAsync(_reading.Token);
            }
        }
        catch (OperationCanceledException) when (_reading.IsCancellationRequested)
        {
            // A stopping broker answers what it has begun.
        }
        catch (Exception bug)
        {
            LogMessages.ConnectionFailed(_logger, bug, Identity.Remote);
            Interrupt();
        }

        _pending.Writer.TryComplete();
        await answering;
        _authenticationTimer?.Dispose();
        await _transport.CloseAsync();
        _transport.Dispose();
        _memory.Give(_arriving);
    }

    /// <summary>
    /// Comes before the first request. Who is to show who he is has so long for it, from the first byte to the last: connections that do nothing but wait would
    /// otherwise take the places of others.
    /// </summary>
    private async ValueTask<bool> OpenAsync()
    {
        bool hasTls = Identity.Listener is { Configuration.HasTls: true };
        if (_session.IsOpen && !hasTls)
        {
            return true;
        }

        _authenticationTimer = _time.CreateTimer(
            static connection => ((ClientConnection)connection!).GiveUpUnauthenticated(), this, _authenticationTimeout, Timeout.InfiniteTimeSpan);
        if (await _transport.OpenAsync(_reading.Token) is { } fault)
        {
            LogMessages.ConnectionClosedForFault(_logger, Identity.Remote, fault);
            Interrupt();
            return false;
        }

        if (_session.IsOpen)
        {
            Admit();
        }
        else
        {
            _transport.LimitFrames(ConnectionSession.MaxUnauthenticatedByteCount);
        }

        return true;
    }

    private void GiveUpUnauthenticated()
    {
        LogMessages.NotAuthenticated(_logger, Identity.Remote, _authenticationTimeout);
        Abort();
    }

    /// <summary>The client has shown who it is, as far as its listener asks for it.</summary>
    private void Admit()
    {
        if (Interlocked.Exchange(ref _authenticationTimer, null) is { } timer)
        {
            timer.Dispose();
            _transport.LimitFrames(_maxRequestByteCount);
        }
    }

    /// <summary>How long the frame that arrives has had its last piece of memory without filling it.</summary>
    public TimeSpan StallTime => Volatile.Read(ref _arrivingSince) is not NotArriving and long since ? _time.GetElapsedTime(since) : TimeSpan.Zero;

    /// <summary>Cuts the connection at once.</summary>
    public void Abort()
    {
        try
        {
            _aborted.Cancel();
        }
        catch (ObjectDisposedException)
        {
            return;
        }

        _transport.Abort();
    }

    public void Dispose()
    {
        _aborted.Dispose();
        _reading.Dispose();
        _slots.Dispose();
    }

    private async Task ReadAsync(CancellationToken reading)
    {
        Task earlierAreAnswered = Task.CompletedTask;
        while (true)
        {
            // Receiving goes on while a long poll waits: that is how the end of the connection is noticed, and the poll with it.
            ReceivedFrame received = await _transport.ReceiveAsync(_admit, reading);
            if (received.Frame is not { } frame)
            {
                if (received.Fault is { } fault)
                {
                    LogMessages.ConnectionClosedForFault(_logger, Identity.Remote, fault);
                }

                Interrupt();
                return;
            }

            PendingResponse? pending = _aborted.IsCancellationRequested ? null : Begin(frame, earlierAreAnswered);
            if (pending is null)
            {
                frame.Release();
                Interrupt();
                return;
            }

            _hasSlot = false;
            if (Interlocked.Increment(ref _inFlightRequestCount) == 1 && pending.Response.IsCompleted)
            {
                // Nothing is ahead of it, so that the other loop sleeps; it need not be woken for what is known already.
                await AnswerAsync(pending);
                continue;
            }

            if (!_pending.Writer.TryWrite(pending))
            {
                throw new UnreachableException("A request that has a slot has room in the queue.");
            }

            // The answers leave in order, so that the last one's stands for all.
            earlierAreAnswered = pending.Answered.Task;
            _previousIsAnswered = pending.Api.IsPipelined ? Task.CompletedTask : pending.Answered.Task;
        }
    }

    /// <summary>
    /// Lets a frame have memory, in the order: nothing is ahead that it may not overlap, there is a slot for it, there is room. So what waits for the client's own requests, a long poll among
    /// them, holds nothing of the memory of all meanwhile, and what holds some waits for nobody but its own bytes and the disk.
    /// </summary>
    private ValueTask<bool> AdmitAsync(int byteCount, CancellationToken reading)
    {
        _hasSlot = _hasSlot || (_previousIsAnswered.IsCompleted && _slots.Wait(0));
        if (_hasSlot && _memory.TryTake(ref _arriving, byteCount))
        {
            Volatile.Write(ref _arrivingSince, _time.GetTimestamp());
            return new ValueTask<bool>(true);
        }

        Volatile.Write(ref _arrivingSince, NotArriving);
        return AdmitLaterAsync(byteCount, reading);
    }

    private async ValueTask<bool> AdmitLaterAsync(int byteCount, CancellationToken reading)
    {
        if (!_hasSlot)
        {
            await _previousIsAnswered.UntilAbortedAsync(_aborted.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            await _slots.WaitAsync(CancellationToken.None);
            _hasSlot = true;
        }

        if (_aborted.IsCancellationRequested)
        {
            return false;
        }

        using var ended = CancellationTokenSource.CreateLinkedTokenSource(reading, _aborted.Token);
        try
        {
            // Who holds memory for what does not come keeps it from those who wait.
            await using ITimer looking = _time.CreateTimer(static act => ((Action)act!)(), _closeStalled, MaxStallTime, MaxStallTime);
            _arriving = await _memory.TakeAsync(_arriving, byteCount, ended.Token);
            Volatile.Write(ref _arrivingSince, _time.GetTimestamp());
            return true;
        }
        catch (OperationCanceledException) when (_aborted.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>Begins the request in a frame, up to its first await. Null: the connection must close; the reason is logged.</summary>
    private PendingResponse? Begin(FrameBuffer frame, Task earlierAreAnswered)
    {
        if (_session.ExpectsBareMessage)
        {
            return BeginBare(frame, earlierAreAnswered);
        }

        if (!MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error))
        {
            LogMessages.ConnectionClosedForFault(_logger, Identity.Remote, $"the header of its {header.Key} request cannot be read, {error}");
            return null;
        }

        if (_apis.Find(header.Key) is not { } api)
        {
            LogMessages.UnknownApi(_logger, Identity.Remote, (short)header.Key, header.Version);
            return null;
        }

        if (_session.FaultOf(header.Key) is { } notNow)
        {
            LogMessages.ConnectionClosedForFault(_logger, Identity.Remote, notNow);
            return null;
        }

        if (!api.Definition.Supports(header.Version) && header.Key != ApiKey.ApiVersions)
        {
            LogMessages.UnsupportedVersion(_logger, Identity.Remote, header.Key, header.Version, api.Definition.MinVersion, api.Definition.MaxVersion);
            return null;
        }

        if (header.Key != ApiKey.Produce && frame.Payload.Length > MaxByteCountWithoutRecords)
        {
            string fault = $"its {header.Key} request has {frame.Payload.Length} bytes; one without records has at most {MaxByteCountWithoutRecords}";
            LogMessages.ConnectionClosedForFault(_logger, Identity.Remote, fault);
            return null;
        }

        RequestContext context = NewContext(header, earlierAreAnswered);
        long begun = _time.GetTimestamp();
        return new PendingResponse(api, context, begun, HandleAsync(api, frame, bodyStart, Begun(), context));
    }

    /// <summary>What the frame holds is its request's from here on.</summary>
    private RequestCharge Begun()
    {
        RequestCharge charge = _arriving;
        _arriving = default;
        Volatile.Write(ref _arrivingSince, NotArriving);
        return charge;
    }

    private RequestContext NewContext(RequestHeader header, Task earlierAreAnswered) => new()
    {
        Header = header,
        Connection = Identity,
        Session = _session,
        Aborted = _aborted.Token,
        EarlierAreAnswered = earlierAreAnswered,
        MayBlock = _mayBlock,
    };

    /// <summary>Begins a message of a login that has no request around it.</summary>
    private PendingResponse BeginBare(FrameBuffer frame, Task earlierAreAnswered)
    {
        var api = (SaslAuthenticateApi)_apis.Find(ApiKey.SaslAuthenticate)!;
        RequestContext context = NewContext(new RequestHeader(ApiKey.SaslAuthenticate, 0, 0, null), earlierAreAnswered);
        return new PendingResponse(api, context, _time.GetTimestamp(), HandleBareAsync(api, frame, Begun(), context));
    }

    private async Task<IMessage?> HandleBareAsync(SaslAuthenticateApi api, FrameBuffer frame, RequestCharge charge, RequestContext context)
    {
        try
        {
            return await api.HandleBareAsync(frame.Payload, context);
        }
        finally
        {
            Release(frame, charge);
        }
    }

    /// <summary>Works on a request, and releases its frame as soon as nothing needs it: not when the response is sent, which may wait for those ahead of it and for the client.</summary>
    private async Task<IMessage?> HandleAsync(Api api, FrameBuffer frame, int bodyStart, RequestCharge charge, RequestContext context)
    {
        bool isHeld = true;
        try
        {
            Activity? activity = Diagnostics.StartRequest(api.Definition.Key, context);
            using Ending ending = activity.Ending();
            ValueTask<IMessage?> response = api.HandleAsync(frame.Payload[bodyStart..], context);
            if (api.Definition.Key != ApiKey.Produce)
            {
                // What was read of it is a copy, but for record batches, which stay where they are until they are in the log. A long poll holds no frame.
                isHeld = false;
                Release(frame, charge);
            }

            return await response;
        }
        finally
        {
            if (isHeld)
            {
                Release(frame, charge);
            }
        }
    }

    private void Release(FrameBuffer frame, RequestCharge charge)
    {
        frame.Release();
        _memory.Give(charge);
    }

    private async Task AnswerAsync()
    {
        while (await _pending.Reader.WaitToReadAsync())
        {
            while (_pending.Reader.TryRead(out PendingResponse? pending))
            {
                await ReadyAsync(pending);
                bool isMoreReady = _pending.Reader.TryPeek(out PendingResponse? next) && next.Response.IsCompleted;
                await AnswerAsync(pending, isMoreReady);
            }
        }
    }

    /// <summary>
    /// Waits for a response, and, where others wait behind it, for those that are ready with it: what one sync acknowledges is told to the requests of a connection one after the other, and leaves together.
    /// </summary>
    private async ValueTask ReadyAsync(PendingResponse pending)
    {
        if (!pending.Response.IsCompleted && Volatile.Read(ref _inFlightRequestCount) > 1)
        {
            await ((Task)pending.Response).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            await Task.Yield();
        }
    }

    /// <summary>Sends the response to a request, which nothing is ahead of. At any time one loop at most is here.</summary>
    /// <param name="isMoreReady">Whether the next one is ready, so that they may leave together.</param>
    private async Task AnswerAsync(PendingResponse pending, bool isMoreReady = false)
    {
        ResponseFrame? response = await EncodeAsync(pending);
        if (_authenticationTimer is not null && _session.IsOpen)
        {
            // Before the answer: who has it may send the largest of requests.
            Admit();
        }

        if (response is { } frame && _isOpen)
        {
            _isOpen = await _transport.SendAsync(frame, isMoreReady);
        }
        else
        {
            response?.Release();
            _isOpen = _isOpen && (isMoreReady || await _transport.FlushAsync());
        }

        pending.Context.Release();

        if (_isOpen && pending.Context.CloseReason is { } reason)
        {
            LogMessages.ConnectionClosedByApi(_logger, Identity.Remote, pending.Context.Header.Key, pending.Context.Version, reason);
            await _transport.FlushAsync();
            _isOpen = false;
        }

        if (!_isOpen)
        {
            // The requests that are behind this one end unanswered. The socket is closed in order, not cut: what was sent still arrives.
            Interrupt();
            _reading.Cancel();
        }

        pending.Answered.TrySetResult();
        Interlocked.Decrement(ref _inFlightRequestCount);
        _slots.Release();
    }

    /// <summary>Nobody is left to read an answer: ends what waits, and the reading of requests behind it.</summary>
    private void Interrupt() => _aborted.Cancel();

    /// <summary>Awaits a request's outcome and writes it as a frame. Null: nothing to send.</summary>
    private async ValueTask<ResponseFrame?> EncodeAsync(PendingResponse pending)
    {
        RequestContext context = pending.Context;
        try
        {
            IMessage? response = await pending.Response;
            Diagnostics.RequestEnded(pending.Api.Definition.Key, _time.GetElapsedTime(pending.Begun));
            if (response is null)
            {
                return null;
            }

            if (response is BareSaslMessage bare)
            {
                return new ResponseFrame(bare.ToFrame(), []);
            }

            // An ApiVersions request of a version that is not spoken here is answered in the one layout that everybody reads.
            short version = pending.Api.Definition.Supports(context.Version) ? context.Version : pending.Api.Definition.MinVersion;
            List<DetachedPart> detached = [];
            FrameBuffer frame = MessageCodec.WriteResponse(response, pending.Api.Definition, version, context.Header.CorrelationId, detached);
            return new ResponseFrame(frame, detached);
        }
        catch (Exception late) when (late is OperationCanceledException or ObjectDisposedException && context.Aborted.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception bug)
        {
            LogMessages.RequestFailed(_logger, bug, context.Header.Key, context.Version, Identity.Remote);
            context.CloseConnection("the request failed inside the broker");
            return null;
        }
    }

    /// <summary>A request that has begun.</summary>
    private sealed class PendingResponse(Api api, RequestContext context, long begun, Task<IMessage?> response)
    {
        public Api Api { get; } = api;
        public RequestContext Context { get; } = context;
        public Task<IMessage?> Response { get; } = response;
        public long Begun { get; } = begun;
        public TaskCompletionSource Answered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
