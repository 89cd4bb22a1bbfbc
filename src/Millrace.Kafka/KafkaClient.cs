using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Millrace.Kafka;

/// <summary>
/// A connection to one Kafka cluster: the room that its producers, consumers and admin share, with one picture of the cluster. All
/// members may be called from any thread. Nothing connects before it is needed.
/// </summary>
public sealed class KafkaClient : IAsyncDisposable
{
    private readonly ClientContext _context;
    private readonly ConnectionPool _pool;
    private readonly MetadataCache _metadata;
    private readonly HashSet<IAsyncDisposable> _members = [];
    private readonly Lock _gate = new();
    private bool _isClosed;

    /// <summary>Creates a client on the system's clock that logs nowhere. Does not connect.</summary>
    /// <param name="options">Copied; later changes have no effect.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message says which, and what is allowed.</exception>
    public KafkaClient(KafkaClientOptions options)
        : this(options, TimeProvider.System, NullLoggerFactory.Instance)
    {
    }

    /// <summary>Creates a client. Does not connect.</summary>
    /// <param name="options">Copied; later changes have no effect.</param>
    /// <param name="time">The clock for every time-out, back-off and timestamp.</param>
    /// <param name="loggers">Where the client logs.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message says which, and what is allowed.</exception>
    public KafkaClient(KafkaClientOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        ArgumentNullException.ThrowIfNull(loggers);
        var settings = ClientSettings.From(options);
        var random = new Random(options.RandomSeed ?? RandomNumberGenerator.GetInt32(int.MaxValue));
        IKafkaConnector connector = options.Connector ?? new TcpKafkaConnector(options.MaxResponseByteCount, settings.Security.Tls);
        _context = new ClientContext(settings, connector, time, new QuietLoggers(loggers), new Chance(random));
        _pool = new ConnectionPool(_context);
        _metadata = new MetadataCache(_context, _pool);
        Admin = new KafkaAdmin(_context, _pool, _metadata);
    }

    /// <summary>Creates, describes and looks up topics and offsets.</summary>
    public KafkaAdmin Admin { get; }

    /// <summary>Creates a producer with connections of its own.</summary>
    /// <param name="options">Copied; null takes the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or two contradict each other.</exception>
    /// <exception cref="ObjectDisposedException">The client is closed.</exception>
    public KafkaProducer CreateProducer(ProducerOptions? options = null)
    {
        var settings = ProducerSettings.From(options ?? new ProducerOptions(), _context.Settings);
        return Add(() => new KafkaProducer(_context, settings, _metadata, Remove));
    }

    /// <summary>Creates a consumer with connections of its own.</summary>
    /// <param name="options">Copied; null takes the defaults, which have no group.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or two contradict each other.</exception>
    /// <exception cref="ObjectDisposedException">The client is closed.</exception>
    public KafkaConsumer CreateConsumer(ConsumerOptions? options = null)
    {
        var settings = ConsumerSettings.From(options ?? new ConsumerOptions());
        settings = settings with { FetchMaxByteCount = Math.Min(settings.FetchMaxByteCount, _context.Settings.MaxFetchByteCount) };
        return Add(() => new KafkaConsumer(_context, settings, _metadata, Remove));
    }

    /// <summary>Creates a producer with connections of its own that serialises keys and values.</summary>
    /// <typeparam name="TKey">The keys' type; <see cref="Absent"/> for records without keys.</typeparam>
    /// <typeparam name="TValue">The values' type.</typeparam>
    /// <param name="keys">Writes keys, such as <see cref="KafkaSerdes.Utf8"/>.</param>
    /// <param name="values">Writes values, such as that of <see cref="KafkaSerdes.Json{T}"/>.</param>
    /// <param name="options">Copied; null takes the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or two contradict each other.</exception>
    /// <exception cref="ObjectDisposedException">The client is closed.</exception>
    public KafkaProducer<TKey, TValue> CreateProducer<TKey, TValue>(
        IKafkaSerializer<TKey> keys, IKafkaSerializer<TValue> values, ProducerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(values);
        return new KafkaProducer<TKey, TValue>(CreateProducer(options), keys, values, isOwner: true);
    }

    /// <summary>Creates a consumer with connections of its own that deserialises keys and values.</summary>
    /// <typeparam name="TKey">The keys' type; <see cref="Absent"/> to leave them alone.</typeparam>
    /// <typeparam name="TValue">The values' type.</typeparam>
    /// <param name="keys">Reads keys.</param>
    /// <param name="values">Reads values.</param>
    /// <param name="options">Copied; null takes the defaults, which have no group.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or two contradict each other.</exception>
    /// <exception cref="ObjectDisposedException">The client is closed.</exception>
    public KafkaConsumer<TKey, TValue> CreateConsumer<TKey, TValue>(
        IKafkaDeserializer<TKey> keys, IKafkaDeserializer<TValue> values, ConsumerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(values);
        return new KafkaConsumer<TKey, TValue>(CreateConsumer(options), keys, values);
    }

    /// <summary>Closes what is still open, producers (which flush first) and consumers (which leave their groups first) included.</summary>
    public async ValueTask DisposeAsync()
    {
        IAsyncDisposable[] members;
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            members = [.. _members];
        }

        await Task.WhenAll(members.Select(member => member.DisposeAsync().AsTask()));
        await _metadata.DisposeAsync();
        await _pool.DisposeAsync();
        _context.Login?.Dispose();
    }

    /// <summary>A member has closed by itself.</summary>
    private void Remove(IAsyncDisposable member)
    {
        lock (_gate)
        {
            _members.Remove(member);
        }
    }

    private T Add<T>(Func<T> create)
        where T : IAsyncDisposable
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            T member = create();
            _members.Add(member);
            return member;
        }
    }
}
