using System.Buffers.Binary;
using Millrace.Broker;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>
/// What lies between the processes of clients and the broker. Frames take their time, and keep their order on one connection only. Connections are cut, before what was asked is carried
/// out or after; one end may be gone and the other not know. What was sent before a cut may still arrive, also after what a later connection has brought; requests of producers
/// may arrive twice.
/// </summary>
internal sealed class SimulatedNetwork(SimulatedClock clock, Random random, ClientSabotage sabotage)
{
    private const int DuplicatePercent = 4;
    private const int LatePercent = 50;

    private readonly List<SimulatedConnection> _connections = [];
    private KafkaBroker? _broker;

    /// <summary>On which frames travel.</summary>
    public SimulatedThread Thread { get; } = new(random);

    public SimulatedClock Clock => clock;

    public ulong Hash { get; private set; } = 17;

    /// <summary>Nothing is late, lost, or there twice any more.</summary>
    public bool IsCalm { get; set; }

    public int CutCount { get; private set; }

    public int LateCount { get; private set; }

    public int DuplicateCount { get; private set; }

    public bool HasBroker => _broker is not null;

    public IReadOnlyList<SimulatedConnection> Connections => _connections;

    public void BrokerIsUp(KafkaBroker broker) => _broker = broker;

    /// <summary>The broker is gone: the ends of its connections learn of it at once, after a while, or never.</summary>
    public void BrokerIsDown()
    {
        _broker = null;
        foreach (SimulatedConnection connection in _connections.ToList())
        {
            Thread.Enter(() => _ = connection.LoseBrokerAsync(Chance(60) ? TimeSpan.Zero : TimeSpan.FromMilliseconds(random.Next(8000))));
        }

        _connections.Clear();
    }

    /// <summary>A process is gone. What it has sent may still arrive.</summary>
    public void ProcessIsGone(SimulatedProcess process)
    {
        foreach (SimulatedConnection connection in _connections.Where(connection => connection.Process == process).ToList())
        {
            Cut(connection);
        }
    }

    /// <summary>A connection to the broker; null if there is nobody to be reached.</summary>
    public SimulatedConnection? Connect(SimulatedProcess process)
    {
        if (_broker is null)
        {
            return null;
        }

        var connection = new SimulatedConnection(this, process, _broker.Connect());
        _connections.Add(connection);
        Thread.Enter(connection.Begin);
        return connection;
    }

    /// <summary>Both ends learn that the connection is over.</summary>
    public void Cut(SimulatedConnection connection)
    {
        CutCount++;
        Thread.Enter(connection.Cut);
    }

    public void Forget(SimulatedConnection connection) => _connections.Remove(connection);

    public bool Chance(int percent) => random.Next(100) < percent;

    /// <summary>Whether what was sent over a connection that is over still arrives.</summary>
    public bool IsLate()
    {
        bool isLate = !IsCalm && Chance(LatePercent);
        LateCount += isLate ? 1 : 0;
        return isLate;
    }

    /// <summary>How long a frame takes.</summary>
    public TimeSpan Latency() => random.Next(IsCalm ? 980 : 1000) switch
    {
        < 500 => TimeSpan.Zero,
        < 980 => TimeSpan.FromMilliseconds(1 + random.Next(5)),
        < 997 => TimeSpan.FromMilliseconds(random.Next(400)),
        _ => TimeSpan.FromMilliseconds(random.Next(9000)),
    };

    public void Saw(ReadOnlySpan<byte> frame, bool isRequest)
    {
        ulong hash = Hash ^ (isRequest ? 1UL : 2UL);
        foreach (byte value in frame)
        {
            hash = (hash ^ value) * 1099511628211;
        }

        Hash = ulong.RotateLeft(hash, 17);
    }

    /// <summary>Delivers a request of a producer once more, now or later, over a connection of its own.</summary>
    public void MayRepeat(FrameBuffer frame)
    {
        bool isProduce = BinaryPrimitives.ReadInt16BigEndian(frame.Payload.Span) == (short)ApiKey.Produce;
        if (!isProduce || IsCalm || !Chance(DuplicatePercent))
        {
            return;
        }

        FrameBuffer copy = FrameBuffer.Rent(frame.Bytes.Length);
        frame.Bytes.CopyTo(copy.Bytes);
        if (sabotage == ClientSabotage.ForgetSequences)
        {
            HideProducer(copy);
        }

        DuplicateCount++;
        _ = RepeatAsync(copy);
    }

    private async Task RepeatAsync(FrameBuffer frame)
    {
        await clock.PauseAsync(TimeSpan.FromMilliseconds(random.Next(Chance(80) ? 20 : 4000)));
        if (_broker is null)
        {
            return;
        }

        InMemoryConnection connection = _broker.Connect();
        if (connection.Requests.TryWrite(frame) && await connection.Responses.WaitToReadAsync() && connection.Responses.TryRead(out FrameBuffer? answer))
        {
            answer.Release();
        }

        await connection.DisposeAsync();
    }

    /// <summary>Takes from batches who wrote them: the broker does not recognise them.</summary>
    private static void HideProducer(FrameBuffer frame)
    {
        if (MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out _)
            && MessageCodec.TryReadRequest(frame.Payload[bodyStart..], header.Version, out ProduceRequest? request, out _))
        {
            foreach (ProducePartition partition in request.Topics.SelectMany(static topic => topic.Partitions))
            {
                Span<byte> batch = System.Runtime.InteropServices.MemoryMarshal.AsMemory(partition.Records!.Value).Span;
                if (!RecordBatchHeader.Read(batch).IsTransactional)
                {
                    RecordBatch.AssignProducer(batch, ProducerIdentity.None, -1);
                }
            }
        }
    }
}
