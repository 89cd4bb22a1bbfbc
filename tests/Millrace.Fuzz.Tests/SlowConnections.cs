using System.Net.Sockets;

namespace Millrace.Fuzz.Tests;

/// <summary>
/// Connections that send whole requests a few bytes at a time and read no answers, so that each stands in the middle of a request or
/// behind a full socket for as long as the campaign lasts. One that the broker closes is opened anew.
/// </summary>
internal sealed class SlowConnections : IDisposable
{
    private const int MostBytesAtOnce = 32;

    private readonly Func<Task<Socket>> _connect;
    private readonly List<byte[]> _frames;
    private readonly Drip[] _drips;

    private SlowConnections(Func<Task<Socket>> connect, List<byte[]> frames, Drip[] drips)
    {
        _connect = connect;
        _frames = frames;
        _drips = drips;
    }

    public static async Task<SlowConnections> OpenAsync(Func<Task<Socket>> connect, int count, List<byte[]> frames, Random random)
    {
        Drip[] drips = new Drip[count];
        for (int index = 0; index < count; index++)
        {
            drips[index] = new Drip(await connect(), frames[random.Next(frames.Count)]);
        }

        return new SlowConnections(connect, frames, drips);
    }

    /// <summary>Sends the next few bytes on each connection.</summary>
    public async Task DripAsync(Random random)
    {
        foreach (Drip drip in _drips)
        {
            if (drip.IsDone)
            {
                drip.Begin(_frames[random.Next(_frames.Count)]);
            }

            if (!await drip.TrySendAsync(random.Next(1, MostBytesAtOnce + 1)))
            {
                drip.Replace(await _connect(), _frames[random.Next(_frames.Count)]);
            }
        }
    }

    public void Dispose()
    {
        foreach (Drip drip in _drips)
        {
            drip.Dispose();
        }
    }

    private sealed class Drip(Socket socket, byte[] frame) : IDisposable
    {
        private Socket _socket = socket;
        private byte[] _frame = frame;
        private int _sentByteCount;

        public bool IsDone => _sentByteCount == _frame.Length;

        public void Begin(byte[] frame)
        {
            _frame = frame;
            _sentByteCount = 0;
        }

        /// <summary>False where the broker has closed the connection.</summary>
        public async Task<bool> TrySendAsync(int byteCount)
        {
            try
            {
                // A socket that takes nothing more is one that the broker does not read, which is what a slow client deserves.
                if (_socket.Poll(0, SelectMode.SelectWrite))
                {
                    _sentByteCount += await _socket.SendAsync(_frame.AsMemory(_sentByteCount, Math.Min(byteCount, _frame.Length - _sentByteCount)));
                }

                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }

        public void Replace(Socket socket, byte[] frame)
        {
            _socket.Dispose();
            _socket = socket;
            Begin(frame);
        }

        public void Dispose() => _socket.Dispose();
    }
}
