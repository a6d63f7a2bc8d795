"""
The C{twistd devp2p} command. The module with its options is named, not imported: every C{twistd} reads this file.
"""

from twisted.application.service import ServiceMaker

devp2p = ServiceMaker("devp2p", "devp2p_tx.tap", "An Ethereum devp2p node.", "devp2p")
