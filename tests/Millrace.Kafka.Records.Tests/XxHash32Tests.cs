using System.Text;

namespace Millrace.Kafka.Records.Tests;

public sealed class XxHash32Tests
{
    [Theory]
    [InlineData("", 0x02CC5D05u)]
    [InlineData("a", 0x550D7456u)]
    [InlineData("abc", 0x32D153FFu)]
    [InlineData("Nobody inspects the spammish repetition", 0xE2293B2Fu)]
    public void Known_hashes_agree(string text, uint expected) => Assert.Equal(expected, XxHash32.Compute(Encoding.ASCII.GetBytes(text)));
}
