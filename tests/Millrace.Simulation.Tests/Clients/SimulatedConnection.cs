using System.Buffers.Binary;
using System.Threading.Channels;
using Millrace.Broker;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Simulation.Tests;

/// <summary>One connection over the simulated network: the client's end as it has it, and what carries frames to and from the broker's.</summary>
internal sealed class SimulatedConnection(SimulatedNetwork network, SimulatedProcess process, InMemoryConnection broker) : IKafkaTransport
{
    private readonly Channel<FrameBuffer> _sent = Channel.CreateUnbounded<FrameBuffer>();
    private readonly Channel<FrameBuffer> _received = Channel.CreateUnbounded<FrameBuffer>();
    private bool _isOver;
    private bool _dropsRest;

    public SimulatedProcess Process => process;

    /// <summary>What the client sends goes nowhere, and it does not know.</summary>
    public bool LosesRequests { get; set; }

    /// <summary>What the broker answers goes nowhere. The request was carried out.</summary>
    public bool LosesResponses { get; set; }

    public void Begin()
    {
        _ = CarryRequestsAsync();
        _ = CarryResponsesAsync();
    }

    /// <summary>The connection is over for the client. For the broker too, once what is on its way has arrived or is lost.</summary>
    public void Cut()
    {
        if (!_isOver)
        {
            _isOver = true;
            _dropsRest = !network.IsLate();
            _sent.Writer.TryComplete();
            _received.Writer.TryComplete();
            network.Forget(this);
        }
    }

    public async Task LoseBrokerAsync(TimeSpan after)
    {
        _dropsRest = true;
        broker.Requests.TryComplete();
        if (after > TimeSpan.Zero)
        {
            await network.Clock.PauseAsync(after);
        }

        Cut();
    }

    public ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
    {
        if (_sent.Writer.TryWrite(frame))
        {
            return ValueTask.CompletedTask;
        }

        frame.Release();
        throw new KafkaConnectionException("The simulated connection is over.");
    }

    public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await _received.Reader.ReadAsync(cancellationToken);
        }
        catch (ChannelClosedException)
        {
            throw new KafkaConnectionException("The simulated connection is over.");
        }
    }

    public ValueTask DisposeAsync()
    {
        network.Thread.Enter(Cut);
        return ValueTask.CompletedTask;
    }

    private async Task CarryRequestsAsync()
    {
        while (await _sent.Reader.WaitToReadAsync())
        {
            while (_sent.Reader.TryRead(out FrameBuffer? frame))
            {
                network.Saw(frame.Bytes.Span, isRequest: true);
                await TravelAsync();
                if (IsLost(frame))
                {
                    frame.Release();
                    continue;
                }

                network.MayRepeat(frame);
                if (!broker.Requests.TryWrite(frame))
                {
                    await TryWriteAsync(frame);
                }
            }
        }

        // The end arrives behind what was sent.
        await TravelAsync();
        await broker.DisposeAsync();
    }

    private async Task TryWriteAsync(FrameBuffer frame)
    {
        try
        {
            await broker.Requests.WriteAsync(frame);
        }
        catch (ChannelClosedException)
        {
            frame.Release();
        }
    }

    private async Task CarryResponsesAsync()
    {
        while (await broker.Responses.WaitToReadAsync())
        {
            while (broker.Responses.TryRead(out FrameBuffer? frame))
            {
                network.Saw(frame.Bytes.Span, isRequest: false);
                await TravelAsync();
                if (LosesResponses || !_received.Writer.TryWrite(frame))
                {
                    frame.Release();
                }
            }
        }

        await TravelAsync();
        Cut();
    }

    private async Task TravelAsync()
    {
        TimeSpan latency = network.Latency();
        if (latency > TimeSpan.Zero)
        {
            await network.Clock.PauseAsync(latency);
        }

        while (process.IsCutOff && !_dropsRest)
        {
            await network.Clock.PauseAsync(TimeSpan.FromMilliseconds(300));
        }
    }

    /// <summary>Whether a request does not arrive.</summary>
    /// <remarks>
    /// A commit outside of a transaction that arrives behind the next one takes offsets back, with every broker: nothing in it says which is the later. So what was sent before a cut does
    /// not arrive behind it if it is that.
    /// </remarks>
    private bool IsLost(FrameBuffer frame) =>
        LosesRequests || (_isOver && (_dropsRest || BinaryPrimitives.ReadInt16BigEndian(frame.Payload.Span) == (short)ApiKey.OffsetCommit));
}
